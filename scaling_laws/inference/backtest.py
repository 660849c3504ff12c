"""Rolling-origin backtests: fit the small runs, score the larger ones, cut after cut."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from scaling_laws.data.runs import Runs
from scaling_laws.errors import DataError, Note, ScalingLawError, suggest
from scaling_laws.laws.family import Law, LawFamily
from scaling_laws.quantities import check_values
from scaling_laws.solving.objective import Array
from scaling_laws.solving.setup import Settings, bind_family

if TYPE_CHECKING:
    import pandas as pd

_CUTS = 6
_SAME = 1e-9
_TRAIN_SHARES = (0.4, 0.9)  # of the runs, below the first and the last automatic cut


@dataclass(frozen=True, eq=False)
class Backtest:
    """How a law fitted below each cut did above it.

    Parameters
    ----------
    law : str
    along : str
        Quantity that was cut.
    target : str
    rows : DataFrame
        One row per cut and held-out run: ``cut``, the value of ``along``, ``distance`` [decades
        beyond the largest value fitted] and ``distance_<input>`` of every input, ``actual``,
        ``predicted``, ``error`` (signed: logarithm of predicted over actual, or their difference
        where the target is not positive).
    notes : tuple of Note
        Cuts that could not be fitted, with the reason.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> back = sl.backtest(sl.load_dataset("tiny_lm"), "chinchilla", along="flops")
    >>> list(back.table.columns)
    ['cut', 'n_train', 'n_test', 'distance', 'error', 'bias']
    """

    law: str
    along: str
    target: str
    rows: pd.DataFrame
    counts: Mapping[float, int]
    notes: tuple[Note, ...]

    @property
    def table(self) -> pd.DataFrame:
        """One row a cut: runs fitted and held out, mean distance, mean |error|, mean error."""
        import pandas as pd

        out = []
        for cut, rows in self.rows.groupby("cut", sort=True):
            out.append(
                {
                    "cut": cut,
                    "n_train": self.counts[float(cut)],  # type: ignore[arg-type]
                    "n_test": len(rows),
                    "distance": rows["distance"].mean(),
                    "error": rows["error"].abs().mean(),
                    "bias": rows["error"].mean(),
                }
            )
        return pd.DataFrame(out, columns=["cut", "n_train", "n_test", "distance", "error", "bias"])

    def __str__(self) -> str:
        table = self.table.to_string(index=False, float_format=lambda v: f"{v:.4g}")
        return f"Backtest of {self.law} along {self.along}\n{table}"

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f"<p><b>Backtest of {self.law} along {self.along}</b></p>{self.table.to_html()}"


def backtest(
    runs: Any,
    law: Any,
    *,
    along: str = "flops",
    cuts: Sequence[float] | None = None,
    target: str = "loss",
    inputs: Sequence[str] | None = None,
    columns: Mapping[str, str] | None = None,
    weights: str | ArrayLike | None = None,
    **options: Any,
) -> Backtest:
    """Fit the runs at or below each cut, predict those above it.

    Parameters
    ----------
    runs : DataFrame, mapping of columns, or sequence of mappings
    law : str, LawFamily, Fit or callable
        A law; a fit, whose law and options are used; or anything that turns a table of runs into
        an object with ``predict(table)``, such as ``lambda train: sl.select(train)``. It gets the
        columns under the library's names, and must predict one number a row, or a table with the
        target as a column.
    along : str, default "flops"
        Input, ``flops`` or other column to cut along; the question should extrapolate in the same
        direction. Laws without compute default to their only input.
    cuts : sequence of float, optional
        Largest value fitted, in the unit of ``along``. Default: up to six, from 40 % to 90 % of
        the runs.
    target, inputs, columns, weights
        As `scaling_laws.fit`; a callable needs ``inputs``.
    **options
        ``residual``, ``robust``, ``fixed``, ``bounds``, ``start``, ``ties``, ``priors``,
        ``focus`` as `scaling_laws.fit`.

    Returns
    -------
    Backtest

    Raises
    ------
    DataError
        Unusable table, unknown column or option, or no cut leaves runs on both sides.
    LawError
        Unknown law.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> back = sl.backtest(sl.load_dataset("tiny_lm"), "chinchilla", along="tokens")
    >>> bool((back.rows.distance >= 0).all())
    True
    """
    known = tuple(Settings.__dataclass_fields__)
    for name in options:
        if name not in known:
            raise DataError(
                f"backtest has no option '{name}'.{suggest(name, known)} It has {known}."
            )
    fitted = getattr(law, "fitter", None)
    if fitted is not None and isinstance(law.law, Law):
        own = {n: getattr(fitted, n) for n in known}
        settings, inputs, target = Settings(**{**own, **options}), law.law.inputs, law.target
        law = law.law.family
    else:
        settings = Settings(**options)
    name, form = _named(law, inputs)
    family = bind_family(form, target, inputs)
    checked = settings.check(runs, family, target, columns, weights)
    if along == "flops" and checked.flops is None and len(checked.inputs) == 1:
        along = checked.inputs[0]
    axis = _axis(checked, runs, along)
    if form is law:
        return backtest_checked(checked, family, settings, along, cuts, axis=axis)

    def predict(train: Runs, held_out: Runs) -> Array:
        return _predicted(law(_table(train)), held_out)

    return _backtest(checked, name, along, axis, cuts, predict)


def backtest_checked(
    runs: Runs,
    family: LawFamily,
    settings: Settings,
    along: str,
    cuts: Sequence[float] | None = None,
    *,
    axis: Array | None = None,
) -> Backtest:
    """Backtest rows that were checked already."""

    def predict(train: Runs, held_out: Runs) -> Array:
        solved = settings.solve(train, family, use_lmfit=False)
        value = family.evaluate(held_out.x, list(solved.coef))
        return np.asarray(np.broadcast_to(value, held_out.y.shape))

    return _backtest(
        runs, family.name, along, runs.column(along) if axis is None else axis, cuts, predict
    )


def _backtest(
    runs: Runs,
    name: str,
    along: str,
    axis: Array,
    cuts: Sequence[float] | None,
    predict: Callable[[Runs, Runs], Array],
) -> Backtest:
    import pandas as pd

    cuts = None if cuts is None else check_values("cuts", np.atleast_1d(cuts), "real").tolist()
    parts, counts, notes = [], {}, []
    for cut in automatic_cuts(axis) if cuts is None else sorted(float(c) for c in cuts):
        below = axis <= cut + _SAME * abs(cut)
        if below.all() or not below.any():
            continue
        train, held_out = runs.take(below), runs.take(~below)
        try:
            predicted = predict(train, held_out)
        except ScalingLawError as error:
            notes.append(
                Note("cut_skipped", "info", f"cut at {cut:g}: {error}", {"cut": float(cut)})
            )
            continue
        counts[float(cut)] = int(below.sum())
        rows = {
            "cut": np.full(len(held_out), float(cut)),
            along: axis[~below],
            "distance": np.log10(axis[~below] / axis[below].max()),
        }
        for n, seen, asked in zip(runs.inputs, train.x, held_out.x, strict=True):
            low, high = float(seen.min()), float(seen.max())
            rows[f"distance_{n}"] = log_distance(asked, low, high, 1.0) / np.log(10.0)
        rows |= {"actual": held_out.y, "predicted": predicted}
        rows["error"] = signed_error(predicted, held_out.y)
        labels = pd.Index(list(held_out.index), name="row", tupleize_cols=False)
        parts.append(pd.DataFrame(rows, index=labels))
    if not parts:
        why = f" {notes[-1].message}" if notes else ""
        raise DataError(
            f"no cut along '{along}' leaves enough runs on both sides ({len(runs)} runs).{why}"
        )
    return Backtest(name, along, runs.target, pd.concat(parts), counts, tuple(notes))


def _named(law: Any, inputs: Sequence[str] | None) -> tuple[str, Any]:
    """Name of what is tested, and a law over the same inputs by which the table is checked."""
    if isinstance(law, str | LawFamily) or not callable(law):
        return "", law
    if inputs is None:
        raise DataError(
            "backtest of a callable needs inputs=, the names of the columns it predicts from."
        )
    name = getattr(law, "__name__", type(law).__name__)
    return ("callable" if name == "<lambda>" else name), "product"


def _axis(runs: Runs, table: Any, along: str) -> Array:
    """Values of ``along``, from the checked columns or else from the user's table."""
    names = getattr(table, "columns", ())
    if along in (*runs.inputs, "flops", runs.target) or along not in names:
        return runs.column(along)
    return check_values(along, table.loc[list(runs.index), along].to_numpy(), "positive")


def _table(runs: Runs) -> pd.DataFrame:
    return runs.to_frame().drop(columns=["weight", "cluster"])


def _predicted(predictor: Any, held_out: Runs) -> Array:
    """Predictions of an object with ``predict`` for held-out rows, one number a row."""
    import pandas as pd

    found = predictor.predict(_table(held_out).drop(columns=held_out.target))
    values = np.asarray(found[held_out.target] if isinstance(found, pd.DataFrame) else found)
    if values.shape != held_out.y.shape:
        raise DataError(
            f"predict gave {values.shape} for {len(held_out)} rows. Return one number a row."
        )
    return np.asarray(values, dtype=float)


def log_distance(values: Array, low: float, high: Array | float, span: float) -> Array:
    """Distance beyond ``high``, zero below it: in logs, or in spans where ``low`` is not positive.

    ``low`` and ``high`` are of the data, so that a value's distance does not depend on the others.

    Examples
    --------
    >>> log_distance(np.array([0.0, np.e]), 0.5, 1.0, 0.5).tolist()
    [0.0, 1.0]
    >>> log_distance(np.array([0.0, 3.0]), 0.0, 1.0, 1.0).tolist()
    [0.0, 2.0]
    """
    if low > 0 and np.all(np.asarray(high) > 0):
        return np.asarray(np.maximum(np.log(np.maximum(values, low)) - np.log(high), 0.0))
    return np.asarray(np.maximum(values - high, 0.0) / max(span, 1e-300))


def automatic_cuts(axis: Array) -> Array:
    """Up to six values of ``axis`` with 40 % to 90 % of the runs at or below them.

    Examples
    --------
    >>> automatic_cuts(np.arange(1.0, 11.0)).tolist()
    [4.0, 5.0, 6.0, 7.0, 8.0, 9.0]
    """
    levels = np.unique(axis)
    apart = np.diff(levels) > _SAME * np.abs(levels[1:])  # equal but for rounding is one level
    levels = levels[:-1][apart]
    if not len(levels):
        return levels
    share = np.searchsorted(np.sort(axis), levels, "right") / len(axis)
    inside = levels[(share >= _TRAIN_SHARES[0]) & (share <= _TRAIN_SHARES[1])]
    if len(inside) <= _CUTS:
        return inside if len(inside) else levels[-1:]
    positions = np.round(np.linspace(0, len(inside) - 1, _CUTS)).astype(int)
    return np.asarray(inside[positions])


def signed_error(predicted: Array, actual: Array) -> Array:
    """Return log(predicted / actual), or their difference where either is not positive."""
    if (actual > 0).all() and (predicted > 0).all():
        return np.asarray(np.log(predicted / actual))
    return np.asarray(predicted - actual)
