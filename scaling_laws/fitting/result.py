"""`Fit`: a law with what the data said about it - draws, noise, notes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scaling_laws.data.frozen import Frozen
from scaling_laws.data.read_report import ReadReport
from scaling_laws.data.runs import Runs
from scaling_laws.errors import DataError, Note
from scaling_laws.fitting import text
from scaling_laws.fitting.file_format import write_json
from scaling_laws.fitting.held_out import share_explained
from scaling_laws.fitting.predicting import Predicts
from scaling_laws.inference.interval import Predictive, check_level
from scaling_laws.laws.family import Law
from scaling_laws.solving.objective import Array

if TYPE_CHECKING:
    import pandas as pd

    from scaling_laws.fitting.fitter import Fitter


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
        from scaling_laws.fitting.saved_fits import fit_to_dict

        return fit_to_dict(self, rows)

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
