"""What is needed to repeat a fit, item by item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from scaling_laws.errors import Note

if TYPE_CHECKING:
    from scaling_laws.data.read_report import ReadReport
    from scaling_laws.fitting.held_out import HeldOut
    from scaling_laws.fitting.result import Fit
    from scaling_laws.fitting.selection import Selection
    from scaling_laws.inference.backtest import Backtest


def checklist(
    fit: Fit,
    *,
    why: str = "",
    counts: str = "",
    cleaning: ReadReport | None = None,
    selection: Selection | None = None,
    backtest: Backtest | None = None,
    held_out: HeldOut | None = None,
    level: float = 0.9,
) -> list[tuple[str, str]]:
    """Answer the questions of the checklist, those that nobody answered too.

    Parameters
    ----------
    fit : Fit
    why, counts : str
        Why this law, and how quantities were counted.
    cleaning : ReadReport, optional
        What was done to the table.
    selection : Selection, optional
        From which the law was chosen.
    backtest, held_out : Backtest, HeldOut, optional
        Checks that were made.
    level : float, default 0.9
        Mass of the intervals.

    Returns
    -------
    list of (str, str)
        Item and answer, Markdown.

    References
    ----------
    Li et al. (2025), arXiv:2502.18969.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=0)
    >>> dict(checklist(fit))["validation"]
    'none: neither a backtest nor held-out runs'
    """
    weights = {} if selection is None else selection.weights
    weighed = ", ".join(f"{n} {100 * w:.0f} %" for n, w in weights.items())
    chosen = f"weighed by backtests: {weighed}" if weighed else "chosen by hand; not said why"
    counted = counts or fit.law.convention or "not said"
    if "flops" in fit.ranges and "flops" not in fit.law.inputs:
        counted += "; compute as in the table, or 6 N D"
    cleaned = "no log given"
    if cleaning is not None:
        cleaned = "; ".join(map(str, cleaning.steps)) or f"none; read as {cleaning.format}"
    left_out = _codes(fit.runs.notes if fit.runs is not None else ()) or "none"
    options = fit.fitter
    robust = "least squares" if not np.isfinite(fit.delta) else f"Huber, turning at {fit.delta:.3g}"
    validated = [] if backtest is None else [_backtested(backtest)]
    validated += [] if held_out is None else [str(held_out).replace("|error|", "absolute error")]
    law_error = "with" if options.law_error else "without"
    draws = f"{100 * level:g} %, from {len(fit.draws)} bootstrap draws of whole runs"
    rows = [
        ("law", f"`{fit.law.family.name}`, {fit.law.family.reference or 'no reference'}"),
        ("why this law", why or chosen),
        ("what is counted", counted),
        ("data", f"{len(fit.residuals)} rows, digest `{fit.digest}`; left out: {left_out}"),
        ("cleaning", cleaned),
        ("objective", f"{fit.predictive.residual} residuals, {robust}, focus {options.focus:g}"),
        ("starts", f"{fit.starts}, of which {fit.starts_agreeing} agree; seed {options.seed}"),
        ("bounds", _bounds(fit)),
        ("constraints", _constraints(fit)),
        ("validation", "; ".join(validated) or "none: neither a backtest nor held-out runs"),
        ("intervals", f"{draws}, {law_error} an error of the law" if len(fit.draws) else "none"),
    ]
    return [(item, answer.replace("|", "\\|")) for item, answer in rows]


def _backtested(backtest: Backtest) -> str:
    table = backtest.table
    error = float(np.average(table["error"], weights=table["n_test"]))
    return (
        f"backtest along {backtest.along}: {len(table)} cuts, mean error {100 * error:.2g} %, "
        f"{table['distance'].mean():.2g} decades ahead"
    )


def _codes(notes: Sequence[Note]) -> str:
    return ", ".join(f"`{n.code}`" for n in notes)


def _bounds(fit: Fit) -> str:
    """Bounds of every coefficient, the user's where they are tighter."""
    out = []
    for c in fit.law.family.coefficients:
        low, high = fit.fitter.bounds.get(c.name, (c.lower, c.upper))
        ends = f"{c.name} {max(low, c.lower):.3g} to {min(high, c.upper):.3g}"
        out.append(ends + ", reached" * (c.name in fit.at_bound))
    return "; ".join(out)


def _constraints(fit: Fit) -> str:
    options = fit.fitter
    given = [f"{n} fixed at {v:.4g}" for n, v in options.fixed.items()]
    given += [f"{n} tied to {t}" for n, t in options.ties.items()]
    given += [f"{n} prior {m:.3g} +- {sd:.3g}" for n, (m, sd) in options.priors.items()]
    return "; ".join(given) or "none"
