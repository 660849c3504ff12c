"""`Fit`: a law with what the data said about it - draws, noise, notes - and its file format."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scaling_laws.data.frozen import Frozen
from scaling_laws.data.read_report import ReadReport, report_from_dict
from scaling_laws.data.runs import Runs
from scaling_laws.errors import DataError, Note, ScalingLawError
from scaling_laws.fitting import text
from scaling_laws.fitting.held_out import share_explained
from scaling_laws.fitting.predicting import Predicts
from scaling_laws.inference.interval import Predictive, check_level
from scaling_laws.inference.law_error import LawError
from scaling_laws.inference.trend import NoiseTrend
from scaling_laws.laws.family import Law
from scaling_laws.laws.registry import law_from_dict
from scaling_laws.solving.objective import Array, Huber

if TYPE_CHECKING:
    import pandas as pd

    from scaling_laws.fitting.chain import Chain
    from scaling_laws.fitting.fitter import Fitter
    from scaling_laws.fitting.groups import GroupedFit
    from scaling_laws.fitting.selected_groups import GroupedSelection
    from scaling_laws.fitting.selection import Selection

FORMAT_VERSION = 2
_KINDS = ("Fit", "GroupedFit", "Selection", "GroupedSelection", "Chain")
_ROWS_KEPT = 100_000


@dataclass(frozen=True, eq=False)
class Fit(Predicts, Frozen):
    """A fitted law. Frozen; made by `scaling_laws.fit` and `scaling_laws.load`.

    Parameters
    ----------
    law : Law
        The point law, callable.
    target : str
        Fitted quantity.
    fitter : Fitter
        Options used.
    predictive : Predictive
        Draws of coefficients and noise; every prediction and plan evaluates the same ones.
    covariance : ndarray (p, p)
        Cluster-robust covariance in raw units, NaN for coefficients at a bound.
    at_bound : tuple of str
        Coefficients that ended on a bound.
    objective : float
        Sum that was minimised.
    delta : float
        Huber's turning point used, ``inf`` for least squares.
    residuals : ndarray (n,)
        On the residual scale, in the order of ``runs``.
    runs : Runs or None
        The rows used; None after loading a file that left them out.
    ranges : mapping of str to (float, float)
        Measured range of every input, and of ``flops`` where known.
    digest : str
        Digest of the rows used.
    starts, starts_agreeing : int
        Starts that were not given up on the way, and how many reached this optimum.
    notes : tuple of Note
        What to know before relying on it.
    read_report : ReadReport, optional
        How the table of runs came about, where `read_runs` or `clean` made it: what was dropped,
        renamed, converted and cleaned. Saved with the fit; no number depends on it.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=100)
    >>> fit.law.family.name, len(fit.draws), fit.starts_agreeing > 0
    ('chinchilla', 100, True)
    """

    law: Law
    target: str
    fitter: Fitter
    predictive: Predictive
    covariance: Array
    at_bound: tuple[str, ...]
    objective: float
    delta: float
    residuals: Array
    runs: Runs | None
    ranges: Mapping[str, tuple[float, float]]
    digest: str
    starts: int
    starts_agreeing: int
    notes: tuple[Note, ...]
    read_report: ReadReport | None = None

    @property
    def coef(self) -> dict[str, float]:
        """Coefficients in raw units, a fresh mapping."""
        return self.law.coef

    @property
    def stderr(self) -> dict[str, float]:
        """Standard errors in raw units; NaN for a coefficient at its bound, 0 for a fixed one."""
        with np.errstate(invalid="ignore"):
            values = np.sqrt(np.diag(self.covariance))
        return dict(zip(self.law.family.coefficient_names, values.tolist(), strict=True))

    @property
    def cov(self) -> pd.DataFrame:
        """Covariance of the coefficients, by name."""
        import pandas as pd

        names = list(self.law.family.coefficient_names)
        return pd.DataFrame(self.covariance, index=names, columns=names)

    @property
    def r_squared(self) -> float:
        """Share of the target's variance explained, from predictions made anew.

        Near 1 for any law whose curve falls with the data, and so no ground to choose between laws
        or to trust one beyond the data: `backtest` is. `diagnose` has it on the residual scale
        too, and `HeldOut` for runs that the fit did not see.
        """
        runs = self.rows("r_squared")
        return share_explained(runs.y, self.predictive.mean(runs.x), runs.weights)

    def interval(
        self, level: float = 0.9, *, method: Literal["draws", "profile"] = "draws"
    ) -> pd.DataFrame:
        """Interval of every coefficient.

        Parameters
        ----------
        level : float, default 0.9
        method : {"draws", "profile"}
            Quantiles of the draws, or where the objective, the other coefficients re-optimised,
            has risen by what the level asks (see `profile`).

        Returns
        -------
        DataFrame
            Index coefficient; columns ``low``, ``high``; NaN without draws, and for the profile of
            a coefficient at its bound.

        Raises
        ------
        DataError
            ``level`` outside (0, 1), or an unknown method; profiles of a fit with priors, or
            loaded without its rows.

        Examples
        --------
        >>> import scaling_laws as sl
        >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=100)
        >>> bool((fit.interval(0.5).low >= fit.interval(0.9).low).all())
        True
        """
        import pandas as pd

        level = check_level(level)
        names = pd.Index(list(self.law.family.coefficient_names), name="coefficient")
        if method not in ("draws", "profile"):
            raise DataError(f"method must be 'draws' or 'profile', got {method!r}.")
        if method == "profile":
            from scaling_laws.fitting.profiles import profile_bands

            bands = profile_bands(self, level)
        elif not len(self.draws):
            bands = np.full((2, len(names)), np.nan)
        else:
            with np.errstate(invalid="ignore"):  # between draws that are infinite
                bands = np.quantile(self.draws, [0.5 * (1 - level), 0.5 * (1 + level)], axis=0)
        return pd.DataFrame({"low": bands[0], "high": bands[1]}, index=names)

    def profile(self, name: str, *, level: float = 0.95, points: int = 21) -> pd.DataFrame:
        """Profile of a coefficient: the others re-optimised while it is held.

        Parameters
        ----------
        name : str
            Free coefficient.
        level : float, default 0.95
            The curve reaches half as far again as this interval.
        points : int, default 21

        Returns
        -------
        DataFrame
            The coefficient, ``t`` and the other coefficients. ``t`` is the signed root of the
            objective's rise in standard errors: a straight line where the law is linear, and bent
            where an interval of so many standard errors would mislead.

        Raises
        ------
        DataError
            Unknown coefficient, one without a standard error, or a fit with priors.

        Notes
        -----
        The rise is scaled by the covariance over the objective's own curvature, as robust losses
        and clustered rows need [1]_; for least squares and independent runs it is the classical
        profile t [2]_. With few clusters, least squares on the pseudo-data that draws use.

        References
        ----------
        .. [1] Kent (1982), Biometrika 69, 19.
        .. [2] Bates and Watts (1988), Nonlinear Regression Analysis, ch. 6.

        Examples
        --------
        >>> import scaling_laws as sl
        >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=0)
        >>> curve = fit.profile("alpha", points=5)
        >>> bool((curve.t.diff().dropna() > 0).all())
        True
        """
        from scaling_laws.fitting.profiles import profile_table

        return profile_table(self, name, check_level(level), points)

    def residual_table(self) -> pd.DataFrame:
        """Every row used: inputs, target, prediction, residual on the residual scale."""
        runs = self.rows("residual_table")
        table = runs.to_frame()
        table[f"{self.target}_predicted"] = self.predictive.mean(runs.x)
        table["residual"] = self.residuals
        return table.drop(columns="cluster")

    def rows(self, what: str) -> Runs:
        """Return the rows used; ``what`` needs them, says the error where they are gone."""
        if self.runs is None:
            raise DataError(
                f"{what} needs the rows, which the file left out. Save with rows=True, or fit "
                "again."
            )
        return self.runs

    def summary(self, level: float = 0.9) -> pd.DataFrame:
        """Coefficients with value, standard error, interval, role and whether at a bound."""
        table = self.interval(level)
        table.insert(0, "value", list(self.coef.values()))
        table.insert(1, "stderr", list(self.stderr.values()))
        table["role"] = [c.role for c in self.law.family.coefficients]
        table["at_bound"] = [n in self.at_bound for n in table.index]
        return table

    def __str__(self) -> str:
        return text.fit_text(self)

    def __repr__(self) -> str:
        return text.fit_text(self)

    def _repr_html_(self) -> str:
        return text.fit_html(self)

    def to_dict(self, *, rows: bool | None = None) -> dict[str, Any]:
        """Return a JSON-ready mapping, the content of a saved file.

        Parameters
        ----------
        rows : bool, optional
            Keep the rows used; default up to 100,000.
        """
        from scaling_laws import __version__

        keep = rows if rows is not None else self.runs is not None and len(self.runs) <= _ROWS_KEPT
        options = {n: getattr(self.fitter, n) for n in self.fitter.__dataclass_fields__}
        options["robust"] = None if self.fitter.robust is None else asdict(self.fitter.robust)
        p = self.predictive
        return {
            "format": FORMAT_VERSION,
            "kind": "Fit",
            "version": __version__,
            "law": self.law.to_dict(),
            "target": self.target,
            "options": {n: plain(v) for n, v in options.items()},
            "predictive": {
                "coef": plain(p.coef),
                "z_law": plain(p.z_law),
                "z_run": plain(p.z_run),
                "noise": plain(p.noise),
                "residual": p.residual,
                "bounds": list(p.bounds),
                "law_error": None if p.law_error is None else asdict(p.law_error),
                "trend": None if p.trend is None else asdict(p.trend),
            },
            "covariance": plain(self.covariance),
            "at_bound": list(self.at_bound),
            "objective": self.objective,
            "delta": plain(self.delta),
            "residuals": plain(self.residuals),
            "ranges": {n: list(r) for n, r in self.ranges.items()},
            "digest": self.digest,
            "starts": [self.starts_agreeing, self.starts],
            "notes": [n.to_dict() for n in self.notes],
            "read_report": report_to_dict(self.read_report),
            "runs": runs_to_dict(self.runs) if keep and self.runs is not None else None,
        }

    def save(self, path: str | os.PathLike[str], *, rows: bool | None = None) -> None:
        """Write the fit as JSON, atomically: numbers and names, never code.

        Parameters
        ----------
        path : path
        rows : bool, optional
            Keep the rows used; default up to 100,000. Their digest is always kept.

        Examples
        --------
        >>> import os, tempfile, scaling_laws as sl
        >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=10)
        >>> path = os.path.join(tempfile.mkdtemp(), "fit.json")
        >>> fit.save(path)
        >>> sl.load(path).coef == fit.coef
        True
        """
        write_json(path, self.to_dict(rows=rows))


def write_json(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write a mapping as JSON, atomically."""
    target = Path(path)
    body = json.dumps(content, allow_nan=False)
    scratch = target.with_name(target.name + ".part")
    scratch.write_text(body, encoding="utf-8")
    scratch.replace(target)


def load(
    path: str | os.PathLike[str],
) -> Fit | GroupedFit | Selection | GroupedSelection | Chain:
    """Read what the ``save`` of a fit, a selection, one of groups, or a chain wrote.

    Parameters
    ----------
    path : path

    Returns
    -------
    Fit, GroupedFit, Selection, GroupedSelection or Chain
        What was saved.

    Raises
    ------
    DataError
        Not such a file, or written by a newer version of the format.
    LawError
        Its law is not registered here.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "notes.json")
    >>> with open(path, "w") as file: _ = file.write("[]")
    >>> load(path)
    Traceback (most recent call last):
        ...
    scaling_laws.errors.DataError: notes.json is not a saved fit. Write one with fit.save(path).
    """
    file = Path(path)
    not_a_fit = f"{file.name} is not a saved fit. Write one with fit.save(path)."
    try:
        data = json.loads(file.read_text(encoding="utf-8"), parse_constant=_refuse)
    except FileNotFoundError:
        raise DataError(f"there is no file '{file}'. Check the path.") from None
    except (OSError, ValueError):
        raise DataError(not_a_fit) from None
    if not isinstance(data, dict) or data.get("kind") not in _KINDS:
        raise DataError(not_a_fit)
    if data.get("format", 0) > FORMAT_VERSION:
        raise DataError(
            f"{file.name} has format {data['format']}, written by version {data.get('version')}; "
            f"this version reads up to format {FORMAT_VERSION}. Upgrade scaling_laws."
        )
    try:
        return _restored(data)
    except ScalingLawError:
        raise
    except (KeyError, TypeError, IndexError, ValueError, OverflowError, AttributeError) as error:
        raise DataError(f"{file.name} is damaged ({type(error).__name__}: {error}).") from None


def _restored(data: Mapping[str, Any]) -> Fit | GroupedFit | Selection | GroupedSelection | Chain:
    from scaling_laws.fitting import chain, groups, saved_selections

    if data["kind"] == "Chain":
        return chain.chain_from_dict(data)
    if data["kind"] == "GroupedFit":
        return groups.grouped_from_dict(data)
    if data["kind"] == "Selection":
        return saved_selections.selection_from_dict(data)
    if data["kind"] == "GroupedSelection":
        return saved_selections.grouped_selection_from_dict(data)
    return fit_from_dict(data)


def fit_from_dict(data: Mapping[str, Any]) -> Fit:
    """Restore a fit from `Fit.to_dict`."""
    from scaling_laws.fitting.fitter import Fitter

    law = law_from_dict(data["law"])
    options = options_from_dict(data["options"])
    p = data["predictive"]
    count = len(law.values)
    report = report_of_file(data)
    predictive = Predictive(
        family=law.family,
        values=np.array(law.values),
        coef=array_of(p["coef"]).reshape(-1, count),
        z_law=array_of(p["z_law"]),
        z_run=array_of(p["z_run"]),
        noise=float("nan") if p["noise"] is None else float(p["noise"]),
        residual=p["residual"],
        bounds=(float(p["bounds"][0]), float(p["bounds"][1])),
        law_error=law_error_from_dict(p.get("law_error"), law.inputs),
        trend=None if p.get("trend") is None else NoiseTrend(**p["trend"]),  # new in format 2
    )
    check_draws(predictive)
    return Fit(
        law=law,
        target=target_from_dict(data),
        fitter=Fitter(**options),
        predictive=predictive,
        covariance=array_of(data["covariance"]).reshape(count, count),
        at_bound=tuple(data["at_bound"]),
        objective=float(data["objective"]),
        delta=float("inf") if data["delta"] is None else float(data["delta"]),
        residuals=array_of(data["residuals"]),
        runs=None if data["runs"] is None else runs_from_dict(data["runs"], report),
        ranges=ranges_from_dict(data["ranges"], law.inputs),
        digest=data["digest"],
        starts=int(data["starts"][1]),
        starts_agreeing=int(data["starts"][0]),
        notes=tuple(Note(**n) for n in data["notes"]),
        read_report=report,
    )


def check_draws(predictive: Predictive) -> None:
    """Refuse draws of a file that do not belong together.

    Raises
    ------
    ValueError
        They do not.
    """
    spread = predictive.spread
    parts = [predictive.z_law, predictive.z_run]
    parts += [] if spread is None else [*spread.z.values(), spread.factor]
    if any(part.shape != (len(predictive.coef),) for part in parts):
        raise ValueError("the draws differ in number")
    numbers = [predictive.values, predictive.coef, *parts]
    if predictive.values.shape != (len(predictive.family.coefficients),):
        raise ValueError("coefficients are missing")
    if any(np.isnan(n).any() for n in numbers) or predictive.noise < 0:
        raise ValueError("a draw is not a number")


def options_from_dict(data: Mapping[str, Any]) -> dict[str, Any]:
    """Restore the options of a fitter or selector."""
    options = dict(data)
    options["robust"] = None if options["robust"] is None else Huber(**options["robust"])
    for name in ("bounds", "ties", "priors"):
        pairs = options[name].items()
        options[name] = {k: tuple(v) if isinstance(v, list) else v for k, v in pairs}
    options["bounds"] = {
        k: (-np.inf if low is None else low, np.inf if high is None else high)
        for k, (low, high) in options["bounds"].items()
    }
    return options


def target_from_dict(data: Mapping[str, Any]) -> str:
    """Restore the name of the target; ValueError if it is none."""
    if not isinstance(data["target"], str):
        raise ValueError(f"the target is {data['target']!r}")
    return data["target"]


def ranges_from_dict(
    data: Mapping[str, Any], inputs: Sequence[str]
) -> dict[str, tuple[float, float]]:
    """Restore the measured ranges of a law's inputs; ValueError if one is missing or none."""
    ranges = {n: (float(r[0]), float(r[1])) for n, r in data.items()}
    sound = all(-np.inf < low <= high < np.inf for low, high in ranges.values())
    if not sound or not set(inputs) <= set(ranges):
        raise ValueError(f"the ranges {ranges} are not those of {tuple(inputs)}")
    return ranges


def law_error_from_dict(data: Mapping[str, Any] | None, inputs: Sequence[str]) -> LawError | None:
    """Restore the law error of a file; None where it has none."""
    if data is None:
        return None
    spans = ranges_from_dict(data["largest"], inputs)
    rates = {n: float(v) for n, v in data["rates"].items()}
    if not all(0 <= rate < np.inf for rate in rates.values()):
        raise ValueError(f"the rates of the law error are {rates}")
    return LawError(rates, spans)


def plain(value: Any) -> Any:
    """JSON-ready copy: arrays as lists, numbers that are not finite as None."""
    if isinstance(value, np.ndarray):
        return [plain(v) for v in value.tolist()]
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, Collection) and not isinstance(value, str):
        return [plain(v) for v in (sorted(value, key=repr) if isinstance(value, Set) else value)]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Decimal | Fraction):
        value = float(value)
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")


def array_of(values: Any) -> Array:
    """Floats of a JSON list; None becomes NaN."""
    array = np.array(values, dtype=object).astype(float)
    if np.isinf(array).any():
        raise ValueError("a number is too large for a float")
    return array


def runs_to_dict(runs: Runs) -> dict[str, Any]:
    """Return rows as a JSON-ready mapping."""
    return {
        "inputs": list(runs.inputs),
        "target": runs.target,
        "x": plain(list(runs.x)),
        "y": plain(runs.y),
        "weights": plain(runs.weights),
        "clusters": [int(c) for c in runs.clusters],
        "index": [_label(i) for i in runs.index],
        "flops": None if runs.flops is None else plain(runs.flops),
    }


def report_to_dict(report: ReadReport | None) -> Any:
    """Return the report of a reading as a JSON-ready mapping."""
    return None if report is None else plain(report.to_dict())


def report_of_file(data: Mapping[str, Any]) -> ReadReport | None:
    """Report of a reading that a file holds; older files hold none."""
    stored = data.get("read_report")
    return None if stored is None else report_from_dict(stored)


def _label(label: Any) -> Any:
    """JSON-ready label of a row: text and numbers as they are, tuples in full, else its text."""
    label = label.item() if isinstance(label, np.generic) else label
    if isinstance(label, tuple):
        return {"tuple": [_label(part) for part in label]}
    if isinstance(label, float) and not np.isfinite(label):
        return {"float": str(label)}
    return label if isinstance(label, int | float | str) else str(label)


def _label_of(saved: Any) -> Any:
    """Restore a label from `_label`."""
    if not isinstance(saved, Mapping):
        return saved
    if "tuple" in saved:
        return tuple(map(_label_of, saved["tuple"]))
    return float(saved["float"])


def runs_from_dict(data: Mapping[str, Any], report: ReadReport | None = None) -> Runs:
    """Restore rows from `runs_to_dict`."""
    return Runs(
        inputs=tuple(data["inputs"]),
        target=data["target"],
        x=tuple(array_of(v) for v in data["x"]),
        y=array_of(data["y"]),
        weights=array_of(data["weights"]),
        clusters=np.array(data["clusters"], dtype=np.uint64),
        index=tuple(map(_label_of, data["index"])),
        flops=None if data["flops"] is None else array_of(data["flops"]),
        notes=(),
        read_report=report,
    )
