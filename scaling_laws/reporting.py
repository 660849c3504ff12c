"""`report`: a folder that says what was fitted, how far to trust it and what to train next."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from scaling_laws.data.read_report import ReadReport, read_report
from scaling_laws.errors import DataError, Note, PlanError
from scaling_laws.fitting.chain import steps_hint
from scaling_laws.fitting.checklist import checklist
from scaling_laws.fitting.held_out import HeldOut, predict_held_out
from scaling_laws.fitting.text import plain_formula, rounded
from scaling_laws.inference.interval import check_level
from scaling_laws.laws.combined import NAME as COMBINED
from scaling_laws.planning.planner import Planner
from scaling_laws.quantities import quantity

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from scaling_laws.fitting.result import Fit
    from scaling_laws.fitting.selection import Selection
    from scaling_laws.inference.backtest import Backtest

_MARK = "<!-- written by scaling_laws.report -->"
_TABLES = (
    "coefficients.csv", "predictions.csv", "held_out.csv", "backtest.csv", "plan.csv", "parts.csv",
)  # fmt: skip
_FIGURES = ("page", "fit", "contour", "frontier", "residuals", "held_out", "backtest")
_WIDTH, _HEIGHT, _DPI = 4.8, 3.6, 160
_SHOWN = 30  # rows of a table in the text; the CSV holds all
_LIBRARIES = ("numpy", "scipy", "pandas", "lmfit", "matplotlib")
_AHEAD = (10.0, 100.0)  # times the largest measured: what to plan for unless told


def report(
    fit: Fit,
    directory: str | os.PathLike[str],
    *,
    budgets: ArrayLike | None = None,
    backtest: Backtest | None = None,
    held_out: HeldOut | pd.DataFrame | None = None,
    selection: Selection | None = None,
    level: float = 0.9,
    unit: str | None = None,
    why: str = "",
    counts: str = "",
    cleaning: ReadReport | pd.DataFrame | None = None,
    remarks: Sequence[str] = (),
) -> Path:
    """Write a report on a fit: text, tables and figures, in one folder.

    ``report.md`` holds the law, the data, how it was fitted, the coefficients, the checks and a
    plan, and a checklist of what is needed to repeat the fit [1]_. Beside it lie the tables in
    full as CSV and the figures as PNG; ``page.png`` shows six of them at once.

    Parameters
    ----------
    fit : Fit
    directory : path
        Folder, made if absent. Files of an earlier report there are replaced; others are never.
    budgets : array_like, optional
        Compute [FLOP] to plan for. Default: 10 and 100 times the largest measured. For a law of
        one input other than compute, values of that input.
    backtest : Backtest, optional
        From `scaling_laws.backtest`.
    held_out : HeldOut or DataFrame, optional
        Runs this fit did not see, with the law's inputs and the target; or a ready table with
        ``actual``, ``predicted``, ``low``, ``high`` from a fit to fewer runs.
    selection : Selection, optional
        From `scaling_laws.select` on the same runs: the laws weighed, and the prediction of all
        of them at the planned points beside the fit's.
    level : float, default 0.9
        Mass of all intervals.
    unit : str, optional
        Unit of the target, where it is not the usual one.
    why : str, optional
        Why this law, in a sentence, for the checklist.
    counts : str, optional
        How parameters, tokens and compute were counted: embeddings or not, 6 N D or measured.
    cleaning : ReadReport or DataFrame, optional
        What was done to the table before it was fitted, or the table that carries it, as
        `scaling_laws.read_runs` and `scaling_laws.clean` leave it.
    remarks : sequence of str
        Sentences to put at the top.

    Returns
    -------
    Path
        Of ``report.md``.

    Raises
    ------
    DataError
        Not a fit of one law; or the folder cannot be written, or holds files of these names that
        no report wrote.
    PlanError
        Impossible budgets.

    References
    ----------
    .. [1] Li et al. (2025), "(Mis)Fitting: A survey of scaling laws", arXiv:2502.18969, checklist.

    Examples
    --------
    >>> import tempfile, scaling_laws as sl
    >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=100)
    >>> path = sl.report(fit, tempfile.mkdtemp(), budgets=[1e18])
    >>> path.name, (path.parent / "plan.csv").exists()
    ('report.md', True)
    """
    if not hasattr(fit, "residuals"):
        raise DataError(
            f"report describes one fit, got {type(fit).__name__}. Give sl.fit(runs, law), of the "
            f"law that weighs most, and a selection as selection=.{steps_hint(fit)}"
        )
    level = check_level(level)
    checked = _as_held_out(fit, held_out, level)
    planned = _plan(fit, budgets, level)
    log = _cleaning(fit, cleaning)
    folder = _folder(Path(directory))
    page = _Page(folder, unit or quantity(fit.target).unit, fit.target)
    try:
        page.add(f"# Fit of {fit.law.family.name}", _MARK, _verdict(fit), *remarks)
        _draw_page(page, fit, backtest, checked, level)
        _write_law(page, fit)
        _write_data(page, fit)
        _write_fit(page, fit, level)
        _write_held_out(page, checked)
        _write_backtest(page, backtest)
        _write_plan(page, fit, planned, level)
        _write_parts(page, selection or fit, planned, level)
        page.add("## Checklist", "What is needed to repeat this fit (arXiv:2502.18969).")
        asked = checklist(fit, why=why, counts=counts, cleaning=log, selection=selection,
                          backtest=backtest, held_out=checked, level=level)  # fmt: skip
        page.add(_table(("item", "this fit"), asked))
        page.add("## Files", f"Tables in full precision: {', '.join(page.tables)}.")
        page.add("## Versions", _versions())
        page.write_text("report.md", "\n\n".join(page.blocks) + "\n")
    except OSError as error:
        raise _unwritable(folder, error) from None
    return folder / "report.md"


@dataclass
class _Page:
    """The text so far, and the folder its tables and figures go to."""

    folder: Path
    unit: str
    target: str
    blocks: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)

    def add(self, *blocks: str) -> None:
        self.blocks += [block for block in blocks if block]

    def write_text(self, name: str, body: str) -> None:
        (self.folder / name).write_text(body, encoding="utf-8")

    def save_table(self, name: str, table: pd.DataFrame, *, index: bool = False) -> None:
        table.to_csv(self.folder / name, index=index, lineterminator="\n")
        self.tables.append(f"[{name}]({name})")

    def save_figure(self, name: str, caption: str, draw: Callable[[Axes], Axes]) -> None:
        from scaling_laws.plot.style import detached_axes, figure_of, rename_unit

        ax = draw(detached_axes(_WIDTH, _HEIGHT))
        rename_unit(ax, self.target, self.unit)
        self.save(name, caption, figure_of(ax))

    def save(self, name: str, caption: str, figure: Figure) -> None:
        figure.savefig(self.folder / f"{name}.png", dpi=_DPI)
        self.add(f"![{caption}]({name}.png)")


def _folder(directory: Path) -> Path:
    """Make the folder, and refuse to replace what no report wrote."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise DataError(
            f"cannot write a report to {directory}: it is, or lies under, a file. Give the name "
            "of a folder."
        ) from None
    except OSError as error:
        raise _unwritable(directory, error) from None
    names = ("report.md", *_TABLES, *(f"{n}.png" for n in _FIGURES))
    try:
        present = [n for n in names if (directory / n).exists()]
        page = directory / "report.md"
        ours = page.is_file() and _MARK in page.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise _unwritable(directory, error) from None
    if present and not ours:
        raise DataError(
            f"{directory} already holds {present[0]}, which no report wrote. Give another folder, "
            "or move that file."
        )
    return directory


def _unwritable(directory: Path, error: OSError) -> DataError:
    return DataError(
        f"cannot write a report to {directory}: {error.strerror or error}. Give a folder you may "
        "write to."
    )


def _as_held_out(fit: Fit, held_out: HeldOut | pd.DataFrame | None, level: float) -> HeldOut | None:
    if held_out is None or isinstance(held_out, HeldOut):
        return held_out
    if {"actual", "predicted", "low", "high"} <= set(held_out.columns):
        return HeldOut(held_out, level)
    return predict_held_out(fit, held_out, level=level)


def _verdict(fit: Fit) -> str:
    count = sum(n.severity == "warning" for n in fit.notes)
    if not count:
        return "The fit carries no warning."
    return f"**Read with care: {count} warning{'s' if count > 1 else ''}, see the notes below.**"


def _draw_page(
    page: _Page, fit: Fit, backtest: Backtest | None, held_out: HeldOut | None, level: float
) -> None:
    if fit.runs is None:
        return
    from scaling_laws import plot
    from scaling_laws.plot.style import rename_unit

    table = None if held_out is None else held_out.table
    figure = plot.page(fit, backtest=backtest, held_out=table, level=level)
    rename_unit(figure.axes[0], page.target, page.unit)
    page.save("page", "Six figures of the fit", figure)


def _write_law(page: _Page, fit: Fit) -> None:
    family = fit.law.family
    page.add("## Law", f"`{plain_formula(family.formula)}`" if family.formula else "")
    inputs = ", ".join(f"`{n}` ({quantity(n).label})" for n in fit.law.inputs)
    unit = f" [{page.unit}]" if page.unit else ""
    page.add(f"Predicts `{fit.target}` ({quantity(fit.target).meaning}{unit}) from {inputs}.")
    page.add(f"Reference: {family.reference}." if family.reference else "")


def _write_data(page: _Page, fit: Fit) -> None:
    page.add("## Data", f"{len(fit.residuals)} runs, digest `{fit.digest}`.")
    rows = [
        (f"`{n}`", quantity(n).label, f"{low:.4g}", f"{high:.4g}")
        for n, (low, high) in fit.ranges.items()
    ]
    if fit.runs is not None:
        y = fit.runs.y
        label = quantity(fit.target).meaning + f" [{page.unit}]" * bool(page.unit)
        rows.append((f"`{fit.target}`", label, f"{y.min():.4g}", f"{y.max():.4g}"))
    page.add(_table(("quantity", "meaning", "smallest", "largest"), rows))
    found = fit.runs.notes if fit.runs is not None else ()
    page.add(_bullets(found) or "No row was left out.")
    _write_reading(page, fit.read_report)


def _write_reading(page: _Page, report: ReadReport | None) -> None:
    """How the table of runs came about, where a reading or a cleaning made it."""
    if report is None:
        return
    page.add(
        "## Reading and cleaning",
        f"`{report.source}` read as {report.format}: {report.rows_read} records, "
        f"{report.rows_kept} rows, {report.dropped} dropped.",
        "\n".join(f"- {step}" for step in report.steps),
        _bullets(report.notes),
    )


def _write_fit(page: _Page, fit: Fit, level: float) -> None:
    options = fit.fitter
    robust = "least squares" if not np.isfinite(fit.delta) else f"Huber, turning at {fit.delta:.3g}"
    scale = fit.predictive.residual
    noise = f"{100 * fit.noise:.2g} %" if scale == "log" else f"{fit.noise:.3g} ({scale} scale)"
    page.add(
        "## Fit",
        f"- Residuals on the {scale} scale; {robust}; focus {options.focus:g}.\n"
        f"- Objective {fit.objective:.6g}; {fit.starts_agreeing} of {fit.starts} starts reach it.\n"
        f"- Run noise {noise}"
        + (f"; R² {fit.r_squared:.5f}" if fit.runs is not None else "")
        + f".\n- {len(fit.draws)} bootstrap draws, seed {options.seed}.",
    )
    summary = fit.summary(level)
    rows = []
    for name, row in summary.iterrows():
        value, stderr = rounded(float(row["value"]), float(row["stderr"]))
        ends = f"{row['low']:.4g} to {row['high']:.4g}" if np.isfinite(row["low"]) else "-"
        rows.append((f"`{name}`", value, stderr, ends, "at its bound" if row["at_bound"] else ""))
    page.add(_table(("coefficient", "value", "stderr", f"{100 * level:g} % interval", ""), rows))
    page.save_table("coefficients.csv", summary, index=True)
    known = fit.runs.notes if fit.runs is not None else ()
    page.add(_bullets([n for n in fit.notes if n not in known]))
    if fit.runs is None:
        page.add(
            "Figures and predictions of the measured runs are left out: the saved fit does "
            "not hold its rows."
        )
        return
    _write_measured(page, fit, level)


def _write_measured(page: _Page, fit: Fit, level: float) -> None:
    from scaling_laws import plot

    table = fit.residual_table()
    ends = fit.predict(table, level=level)
    for end in ("low", "high"):
        table[f"{fit.target}_{end}"] = ends[f"{fit.target}_{end}"]
    page.save_table("predictions.csv", table, index=True)
    page.save_figure("fit", "Measured runs and fit", lambda ax: plot.fit(fit, level=level, ax=ax))
    page.save_figure("residuals", "Residuals", lambda ax: plot.residuals(fit, level=level, ax=ax))


def _write_held_out(page: _Page, held_out: HeldOut | None) -> None:
    from scaling_laws import plot

    page.add("## Held-out runs")
    if held_out is None:
        page.add("No runs were held out.")
        return
    text = str(held_out)
    page.add(f"{text[0].upper()}{text[1:]}.")
    table = held_out.table.assign(error=held_out.errors)
    page.save_table("held_out.csv", table, index=True)
    inputs = [c for c in table.columns if c not in _VALUES]
    form = "{:+.2%}" if held_out.relative else "{:+.3g}"
    rows = [
        (
            *(f"{row[n]:.4g}" for n in inputs),
            f"{row['actual']:.4f}",
            f"{row['predicted']:.4f}",
            f"{row['low']:.4f} to {row['high']:.4f}",
            form.format(row["error"]),
        )
        for row in table.head(_SHOWN).to_dict("records")
    ]
    page.add(
        _table(
            (*inputs, "measured", "predicted", f"{100 * held_out.level:g} % interval", "error"),
            rows,
        )
    )
    page.add(_more(len(table), "held_out.csv"))
    x = "flops" if "flops" in table else "actual"
    page.save_figure(
        "held_out",
        "Predicted against measured, runs held out",
        lambda ax: plot.predicted(table, x=x, ax=ax),
    )


_VALUES = ("actual", "predicted", "low", "high", "error", "extrapolation")


def _write_backtest(page: _Page, backtest: Backtest | None) -> None:
    from scaling_laws import plot

    page.add("## Backtest")
    if backtest is None:
        page.add("No backtest was made.")
        return
    page.add(
        f"Fitted to the runs up to each cut along `{backtest.along}`, scored on the larger ones. "
        "Distance in decades beyond the largest value fitted; error and bias are the mean "
        "absolute and the mean log ratio of predicted to measured."
    )
    table = backtest.table
    page.save_table("backtest.csv", table)
    rows = [
        (
            f"{r['cut']:.4g}",
            f"{r['n_train']:.0f}",
            f"{r['n_test']:.0f}",
            f"{r['distance']:.2f}",
            f"{r['error']:.2%}",
            f"{r['bias']:+.2%}",
        )
        for r in table.to_dict("records")
    ]
    page.add(_table(("cut", "fitted", "held out", "distance", "error", "bias"), rows))
    page.save_figure(
        "backtest", "Backtest error against distance", lambda ax: plot.backtest(backtest, ax=ax)
    )
    page.add(_bullets(backtest.notes))


def _plan(
    fit: Fit, budgets: ArrayLike | None, level: float
) -> tuple[pd.DataFrame, tuple[Note, ...]] | None:
    """Rows of the plan and its notes; None where the law is not one that plans."""
    inputs = fit.law.inputs
    name = inputs[0] if len(inputs) == 1 else "flops"
    joint = set(inputs) == {"params", "tokens"}
    if not joint and len(inputs) > 1:
        return None
    if budgets is None:
        top = fit.ranges[name][1] if name in fit.ranges else np.nan
        if not top > 0:
            return None
        budgets = [factor * top for factor in _AHEAD]
    values = np.atleast_1d(np.asarray(budgets, dtype=float))
    if joint or name == "flops":
        plan = Planner(fit, level=level).for_budget(flops=values)
        return plan.to_frame(), plan.notes
    return fit.predict({name: values}, level=level), ()


def _write_plan(
    page: _Page,
    fit: Fit,
    planned: tuple[pd.DataFrame, tuple[Note, ...]] | None,
    level: float,
) -> None:
    page.add("## Plan")
    joint = set(fit.law.inputs) == {"params", "tokens"}
    if planned is None:
        page.add("No plan: this law is neither one of params and tokens nor of one positive input.")
    else:
        table, notes = planned
        page.save_table("plan.csv", table)
        page.add(_plan_table(fit, table, level))
        if joint:
            page.add(
                "Near-optimal: every model size from which at most 2 % more compute reaches the "
                "same loss; tokens accordingly."
            )
        page.add(_bullets(notes))
    if not joint:
        page.add("Contour and frontier figures are left out: they need a law of params and tokens.")
        return
    _draw_plans(page, fit, level)


def _write_parts(
    page: _Page,
    fit: Fit | Selection,
    planned: tuple[pd.DataFrame, tuple[Note, ...]] | None,
    level: float,
) -> None:
    """What the interval of one run at each planned point is made of."""
    if planned is None or not len(fit.draws):
        return
    at = planned[0][list(fit.inputs)]
    parts, ahead = fit.uncertainty(at), fit.predict(at, level=level)
    page.save_table("parts.csv", parts)
    page.add("## What the intervals are made of")
    if fit.law.family.name == COMBINED:
        weights = "; ".join(
            f"{name} {100 * w:.0f} %" for name, w in getattr(fit, "weights", {}).items()
        )
        page.add(
            f"Predicted by several laws, weighed by backtests: {weights}. How "
            "they disagree is a part of its own (candidates)."
        )
    page.add(
        "One standard deviation of each part, on the residual scale: what the coefficients may "
        "be, how candidate laws disagree, the error of any law so far beyond the data, and the "
        "noise of one run."
    )
    names = ("coefficients", "candidates", "law", "run", "total")
    header = (*fit.inputs, fit.target, f"{100 * level:g} % interval", *names)
    low, high = ahead[f"{fit.target}_low"], ahead[f"{fit.target}_high"]
    rows = [
        (
            *(f"{at.iloc[i][n]:.3g}" for n in fit.inputs),
            f"{ahead[fit.target].iloc[i]:.4f}",
            f"{low.iloc[i]:.4f} to {high.iloc[i]:.4f}",
            *(f"{parts[n].iloc[i]:.2g}" for n in names),
        )
        for i in range(len(at))
    ]
    page.add(_table(header, rows))


def _draw_plans(page: _Page, fit: Fit, level: float) -> None:
    from scaling_laws import plot

    figures: Mapping[str, tuple[str, Callable[[Axes], Axes]]] = {
        "frontier": (
            "Compute-optimal size and tokens",
            lambda ax: plot.frontier(Planner(fit, level=level), ax=ax),
        ),
        "contour": ("Loss over size and tokens", lambda ax: plot.contour(fit, ax=ax)),
    }
    for name, (caption, draw) in figures.items():
        try:
            page.save_figure(name, caption, draw)
        except PlanError as error:
            page.add(f"No {name} figure: {error}")


def _plan_table(fit: Fit, table: pd.DataFrame, level: float) -> str:
    """Rows of a plan for people: each quantity with its interval and near-optimal range."""
    shown = [n for n in ("flops", *fit.law.inputs, fit.target) if n in table]
    shown = list(dict.fromkeys(shown))
    header = [n for name in shown for n in _plan_header(name, table, level)]
    rows = []
    for row in table.to_dict("records"):
        cells: list[str] = []
        for name in shown:
            digits = ".4f" if name == fit.target else ".3g"
            cells.append(f"{row[name]:{digits}}")
            for low, high in ((f"{name}_low", f"{name}_high"), _near(name)):
                if low in table and name != "flops":
                    cells.append(f"{row[low]:{digits}} to {row[high]:{digits}}")
        rows.append(tuple(cells))
    return _table(tuple(header), rows)


def _near(name: str) -> tuple[str, str]:
    return f"{name}_near_low", f"{name}_near_high"


def _plan_header(name: str, table: pd.DataFrame, level: float) -> list[str]:
    if name == "flops":
        return [name]
    out = [name]
    out += [f"{100 * level:g} % interval"] if f"{name}_low" in table else []
    out += ["near-optimal"] if _near(name)[0] in table else []
    return out


def _cleaning(fit: Fit, given: ReadReport | pd.DataFrame | None) -> ReadReport | None:
    """What was done to the table: as given, else what the fit itself remembers."""
    if given is None:
        return fit.read_report
    return given if isinstance(given, ReadReport) else read_report(given)


def _versions() -> str:
    from scaling_laws import __version__

    others = ", ".join(f"{n} {version(n)}" for n in _LIBRARIES)
    return f"scaling_laws {__version__}, Python {platform.python_version()}, {others}."


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _bullets(notes: Sequence[Note]) -> str:
    return "\n".join(
        f"- {'**warning** ' if n.severity == 'warning' else ''}`{n.code}`: {n.message.rstrip('.')}."
        for n in notes
    )


def _more(count: int, name: str) -> str:
    return f"The first {_SHOWN} of {count} rows; all are in `{name}`." if count > _SHOWN else ""
