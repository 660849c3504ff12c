"""Which input matters most at a point, and how much is left to gain from it."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scaling_laws.errors import DataError, Note, PlanError
from scaling_laws.fitting.predicting import Predicts
from scaling_laws.inference.interval import check_level
from scaling_laws.laws.family import Array
from scaling_laws.planning.source import PAIR
from scaling_laws.quantities import check_values, quantity

if TYPE_CHECKING:
    import pandas as pd

    from scaling_laws.fitting.result import Fit
    from scaling_laws.fitting.selection import Selection

Regime = Literal["data-scarce", "data-rich", "balanced"]

_STEP = 1e-3  # in the logarithm of an input
_FAR = (1e100, 1e200, 1e300)
_BALANCED = 0.1  # relative difference of elasticities that counts as none
_EXACT, _NEARLY = 1e-9, 1e-3  # of the target, between ever larger inputs
_DIGITS = 6  # of shares that count; inputs that tie are ranked by elasticity
_COLUMNS = ("elasticity", "reducible", "share")


@dataclass(frozen=True, eq=False)
class Factors:
    """How strongly each input drives the target at a point.

    Parameters
    ----------
    at : mapping of str to float
        The point.
    target : str
    value : float
        Target at the point.
    limit : float
        Target with every input without bound; NaN where the law never settles.
    table : DataFrame
        Index ``input``. ``elasticity``: per cent change of the target for one per cent more of
        the input (change per e-fold for a target that is not positive). ``reducible``: the same
        for the part of the target above its limit. ``share``: part of all that can still be
        gained which this input alone would bring, the others held. Each with ``_low`` and
        ``_high``. ``p_bottleneck``: share of draws in which this input has the largest share.
    bottleneck : str
        Input with the largest share; with the steepest elasticity where the law never settles.
    regime : {"data-scarce", "data-rich", "balanced"} or None
        Whether a per cent more tokens brings more, less or as much as a per cent more
        parameters; at the compute optimum of ``6 N D`` they bring the same. None for laws of
        other inputs.
    p_data_scarce : float
        Share of draws in which tokens bring more than parameters; NaN where undefined.
    level : float
    notes : tuple of Note

    Examples
    --------
    >>> import scaling_laws as sl
    >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=200)
    >>> found = sl.factors(fit, at={"params": 3e4, "tokens": 1e9})
    >>> found.bottleneck, found.regime
    ('params', 'data-rich')
    """

    at: Mapping[str, float]
    target: str
    value: float
    limit: float
    table: pd.DataFrame
    bottleneck: str
    regime: Regime | None
    p_data_scarce: float
    level: float
    notes: tuple[Note, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of `table`."""
        return self.table.copy()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping; NaN becomes None.

        Examples
        --------
        >>> import json, scaling_laws as sl
        >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=50)
        >>> data = sl.factors(fit, at={"params": 3e4, "tokens": 1e9}).to_dict()
        >>> sorted(json.loads(json.dumps(data))["inputs"])
        ['params', 'tokens']
        """
        return {
            "at": dict(self.at),
            "target": self.target,
            "value": self.value,
            "limit": _number(self.limit),
            "inputs": {
                str(name): {str(k): _number(v) for k, v in row.items()}
                for name, row in self.table.to_dict("index").items()
            },
            "bottleneck": self.bottleneck,
            "regime": self.regime,
            "p_data_scarce": _number(self.p_data_scarce),
            "level": self.level,
            "notes": [n.to_dict() for n in self.notes],
        }

    def __str__(self) -> str:
        return "\n".join([self._title(), *self._lines(), *(str(n) for n in self.notes)])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        rest = "".join(f"<p>{html.escape(line)}</p>" for line in self._verdicts())
        notes = "".join(f"<p>{html.escape(str(n))}</p>" for n in self.notes)
        title = html.escape(self._title())
        return (
            f"<p><b>{title}</b></p>{self.table.to_html(float_format='{:.3g}'.format)}{rest}{notes}"
        )

    def _title(self) -> str:
        point = ", ".join(f"{k}={v:.4g}" for k, v in self.at.items())
        end = f", limit {self.limit:.4g}" if np.isfinite(self.limit) else ""
        return f"Factors of {self.target} at {point}: {self.value:.4g}{end}"

    def _lines(self) -> list[str]:
        shown = self.table[[*_COLUMNS, "p_bottleneck"]]
        table = shown.to_string(float_format=lambda v: f"{v:.3g}", na_rep="-")
        return [*table.split("\n"), *self._verdicts()]

    def _verdicts(self) -> list[str]:
        share = float(self.table["p_bottleneck"].to_dict()[self.bottleneck])
        sure = f" (in {share:.0%} of draws)" if np.isfinite(share) else ""
        out = [f"bottleneck: {self.bottleneck}{sure}"]
        if self.regime is not None:
            known = np.isfinite(self.p_data_scarce)
            sure = f" (P data-scarce {self.p_data_scarce:.2f})" if known else ""
            out.append(f"{self.regime}{sure}")
        return out


def factors(fit: Fit | Selection, *, at: Mapping[str, float], level: float = 0.9) -> Factors:
    """Say which input matters most at a point.

    Parameters
    ----------
    fit : Fit or Selection
    at : mapping of str to float
        One value for every input of the law, raw counts.
    level : float, default 0.9
        Mass of the central intervals.

    Returns
    -------
    Factors

    Raises
    ------
    DataError
        An input is missing, unknown, outside its domain or not one number; impossible ``level``.
    PlanError
        Not a fit, or one without an input that can grow.

    Notes
    -----
    Elasticities are central differences in the logarithm of the input, for the point and for
    every draw of the coefficients; the error of the law itself is left out. A share compares
    letting one input alone grow without bound with letting all of them; shares add to one for
    additive laws and need not for others.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=200)
    >>> found = sl.factors(fit, at={"params": 3e4, "tokens": 1e9})
    >>> bool((found.table.elasticity < 0).all())
    True
    >>> round(float(found.table.share.sum()), 6)
    1.0
    """
    if not isinstance(fit, Predicts):
        raise PlanError(
            f"factors takes a fit or a selection, got {type(fit).__name__}. Pass what sl.fit or "
            "sl.select returns."
        )
    source, higher = fit, quantity(fit.target).direction == "higher"
    point = _point(source, at)
    level = check_level(level)
    varied, notes = _varied(source, point)
    best = _measures(source, point, varied, draws=False)
    drawn = _measures(source, point, varied, draws=True) if len(fit.predictive.coef) else None
    table = _table(varied, best, drawn, level, higher)
    if np.isnan(best["limit"][0]):
        notes.append(
            Note(
                "no_limit",
                "info",
                "the law never settles as its inputs grow, so shares of the achievable gain are "
                "undefined; the bottleneck is the input with the steepest elasticity",
            )
        )
    regime, scarce = _regime(varied, best, drawn, higher)
    strength = _strength(best, higher)[0]
    return Factors(
        at={n: float(point[n]) for n in source.inputs},
        target=source.target,
        value=float(best["value"][0]),
        limit=float(best["limit"][0]),
        table=table,
        bottleneck=varied[int(np.argmax(strength))],
        regime=regime,
        p_data_scarce=scarce,
        level=level,
        notes=tuple(notes),
    )


def _point(source: Predicts, at: Mapping[str, float]) -> dict[str, float]:
    if not isinstance(at, Mapping) or set(at) != set(source.inputs):
        given = sorted(at) if isinstance(at, Mapping) else at
        raise DataError(
            f"at= must give one value for each of {source.inputs}, got {given!r}. For example "
            f"at={{{', '.join(f'{n!r}: ...' for n in source.inputs)}}}."
        )
    out = {}
    for name in source.inputs:
        values = check_values(name, at[name])
        if values.ndim:
            raise DataError(f"at= must give one number for '{name}', got {len(values)} of them.")
        out[name] = float(values)
    return out


def _varied(source: Predicts, point: Mapping[str, float]) -> tuple[list[str], list[Note]]:
    """Inputs that can grow, and a note on the others."""
    varied = [n for n in source.inputs if quantity(n).domain != "fraction" and point[n] > 0]
    left = [n for n in source.inputs if n not in varied]
    if not varied:
        raise PlanError(
            f"none of {source.inputs} is a positive count that can grow at this point, so there is "
            "nothing to rank. Compare predictions instead."
        )
    if not left:
        return varied, []
    note = Note(
        "inputs_left_out",
        "info",
        f"{left} cannot grow without bound (proportions, or not positive) and are held",
        {"inputs": left},
    )
    return varied, [note]


def _measures(
    source: Predicts, point: Mapping[str, float], varied: list[str], *, draws: bool
) -> dict[str, Array]:
    """Value and limit ``(k,)``, elasticities, reducible ones and shares ``(k, inputs)``."""
    moves: list[dict[str, float]] = [{}]
    for name in varied:
        moves += [{name: point[name] * float(np.exp(s))} for s in (_STEP, -_STEP)]
    for name in varied:
        moves += [{name: far} for far in _FAR]
    moves += [dict.fromkeys(varied, far) for far in _FAR]
    arrays = [np.array([{**point, **m}[n] for m in moves]) for n in source.inputs]
    with np.errstate(all="ignore"):
        own = replace(source.predictive, spread=None)  # a selection's curves, draw by draw
        y = own.draws(arrays, ("coefficients",)) if draws else own.mean(arrays)[None]
        value, count = y[:, 0], len(varied)
        above, below = y[:, 1 : 2 * count : 2], y[:, 2 : 2 * count + 1 : 2]
        far = y[:, 2 * count + 1 :].reshape(len(y), count + 1, 3)
        limits = _settled(far, np.abs(value)[:, None])
        limits[np.abs(limits) < _EXACT * np.abs(value)[:, None]] = 0.0
        limit = limits[:, -1]
        slope = (above - below) / (2 * _STEP)
        positive = bool((y[:, : 2 * count + 1] > 0).all())
        total = value - limit
        return {
            "value": value,
            "limit": limit,
            "elasticity": slope / value[:, None] if positive else slope,
            "reducible": slope / total[:, None],
            "share": (value[:, None] - limits[:, :-1]) / total[:, None],
        }


def _settled(far: Array, size: Array) -> Array:
    """Limit of three values at ever larger inputs ``(..., 3)``; NaN where they do not settle."""
    first, second, third = (far[..., i] for i in range(3))
    last = np.abs(third - second)
    closing = last <= 0.5 * np.abs(second - first)
    settled = (last <= _EXACT * size) | (closing & (last <= _NEARLY * size))
    return np.where(settled, third, np.nan)


def _strength(measures: Mapping[str, Array], higher: bool) -> Array:
    """What ranks the inputs ``(k, inputs)``: shares; elasticities between equals and without."""
    steep = measures["elasticity"] * (1.0 if higher else -1.0)
    steep = steep / np.maximum(np.abs(steep).max(axis=1, keepdims=True), 1e-300)
    known = np.isfinite(measures["share"]).all(axis=1, keepdims=True)
    share = np.where(known, np.round(measures["share"], _DIGITS), 0.0)
    return np.asarray(share + 0.1**_DIGITS / 3 * steep)


def _table(
    varied: list[str],
    best: Mapping[str, Array],
    drawn: Mapping[str, Array] | None,
    level: float,
    higher: bool,
) -> pd.DataFrame:
    import pandas as pd

    columns: dict[str, Any] = {}
    tails = [0.5 * (1 - level), 0.5 * (1 + level)]
    for name in _COLUMNS:
        columns[name] = best[name][0]
        ends = np.full((2, len(varied)), np.nan)
        if drawn is not None:
            known = np.isfinite(drawn[name]).all(axis=0)
            ends[:, known] = np.quantile(drawn[name][:, known], tails, axis=0)
        columns[f"{name}_low"], columns[f"{name}_high"] = ends
    chances = np.full(len(varied), np.nan)
    if drawn is not None:
        winner = np.argmax(_strength(drawn, higher), axis=1)
        chances = np.bincount(winner, minlength=len(varied)) / len(winner)
    columns["p_bottleneck"] = chances
    return pd.DataFrame(columns, index=pd.Index(varied, name="input"))


def _regime(
    varied: list[str],
    best: Mapping[str, Array],
    drawn: Mapping[str, Array] | None,
    higher: bool,
) -> tuple[Regime | None, float]:
    """Whether tokens or parameters bring more per cent for per cent."""
    if set(varied) != set(PAIR):
        return None, float("nan")
    sign = 1.0 if higher else -1.0
    n, d = (varied.index(name) for name in PAIR)
    size, data = (sign * best["elasticity"][0, i] for i in (n, d))
    scarce = float("nan")
    if drawn is not None:
        steep = sign * drawn["elasticity"]
        scarce = float(np.mean(steep[:, d] > steep[:, n]))
    if abs(data - size) <= _BALANCED * max(abs(data), abs(size)):
        return "balanced", scarce
    return ("data-scarce" if data > size else "data-rich"), scarce


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
