"""Predictions with intervals, the same for one fitted law and for a selection of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from scaling_laws.errors import DataError, Note
from scaling_laws.inference.interval import PARTS, Kind, Predictive, check_level, parts_of
from scaling_laws.laws.family import Law, check_inputs
from scaling_laws.quantities import quantity, training_flops
from scaling_laws.solving.objective import Array

if TYPE_CHECKING:
    import pandas as pd


class Predicts:
    """What `Fit` and `Selection` share: predictions from the same draws, in every question."""

    law: Law
    target: str
    predictive: Predictive
    ranges: Mapping[str, tuple[float, float]]
    notes: tuple[Note, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs."""
        return self.law.inputs

    @property
    def draws(self) -> Array:
        """Draws of the law's coefficients ``(k, p)``, raw units; of a selection, each weighs one
        candidate only.
        """
        return self.predictive.coef

    @property
    def noise(self) -> float:
        """Standard deviation of one run on the residual scale."""
        return self.predictive.noise

    @property
    def trusted(self) -> bool:
        """Whether no note is a warning."""
        return all(n.severity != "warning" for n in self.notes)

    def predict(
        self,
        data: pd.DataFrame | Mapping[str, ArrayLike] | None = None,
        *,
        level: float = 0.9,
        kind: Kind = "run",
        parts: Sequence[str] | None = None,
        **inputs: ArrayLike,
    ) -> pd.DataFrame:
        """Predict the target with an interval.

        Parameters
        ----------
        data : DataFrame or mapping, optional
            Inputs as columns; instead of keyword arguments. Other columns are ignored.
        level : float, default 0.9
            Mass of the central interval.
        kind : {"run", "mean"}
            ``"run"``: where one new run lands. ``"mean"``: the curve itself, never wider.
        parts : sequence of str, optional
            Parts of the uncertainty to include, among ``"coefficients"``, ``"candidates"``,
            ``"law"``, ``"run"``; overrides ``kind``.
        **inputs : array_like
            One per input of the law, raw counts; they broadcast.

        Returns
        -------
        DataFrame
            The inputs, ``<target>``, ``<target>_low``, ``<target>_high`` and ``extrapolation``:
            decades beyond the measured range of the input (or compute) that exceeds it most.

        Raises
        ------
        DataError
            An input is missing, unknown or outside its domain; impossible ``level`` or ``kind``.

        Examples
        --------
        >>> import scaling_laws as sl
        >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=100)
        >>> ahead = fit.predict(params=[1e6, 1e8], tokens=[1e7, 1e9])
        >>> bool((ahead.loss_low < ahead.loss).all())
        True
        """
        import pandas as pd

        arrays = self._arrays(data, inputs)
        predictive = self.predictive_for(arrays)
        ends = predictive.interval(arrays, check_level(level), parts_of(kind, parts))
        low, high = map(self._possible, ends)
        columns = dict(zip(self.inputs, arrays, strict=True))
        columns[self.target] = self._possible(predictive.mean(arrays))
        columns[f"{self.target}_low"], columns[f"{self.target}_high"] = low, high
        columns["extrapolation"] = self.extrapolation(arrays)
        return pd.DataFrame(columns, index=data.index if isinstance(data, pd.DataFrame) else None)

    def uncertainty(
        self, data: pd.DataFrame | Mapping[str, ArrayLike] | None = None, **inputs: ArrayLike
    ) -> pd.DataFrame:
        """Split the uncertainty of one new run into its parts.

        Parameters
        ----------
        data, **inputs
            As `predict`.

        Returns
        -------
        DataFrame
            The inputs, then standard deviations on the residual scale (relative, for log
            residuals): ``coefficients``, ``candidates`` (disagreement of the laws weighed),
            ``law`` (error of the form itself, growing with distance), ``run`` (noise of a run)
            and their ``total``.

        Raises
        ------
        DataError
            As `predict`; or without draws.

        Examples
        --------
        >>> import scaling_laws as sl
        >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=100)
        >>> parts = fit.uncertainty(params=[1e6, 1e8], tokens=[1e7, 1e9])
        >>> bool(parts.law[0] < parts.law[1]), bool(parts.run[0] == parts.run[1])
        (True, True)
        """
        import pandas as pd

        arrays = self._arrays(data, inputs)
        if not len(self.predictive.coef):
            raise DataError("draws=0 leaves nothing to split. Fit again with draws.")
        columns = dict(zip(self.inputs, arrays, strict=True))
        predictive = self.predictive_for(arrays)
        for part in PARTS:
            with np.errstate(invalid="ignore"):  # NaN where a draw is infinite
                columns[part] = predictive.deviations(arrays, (part,)).std(axis=0)
        columns["total"] = np.sqrt(sum(columns[part] ** 2 for part in PARTS))
        return pd.DataFrame(columns, index=data.index if isinstance(data, pd.DataFrame) else None)

    def predict_interval(
        self, inputs: Mapping[str, ArrayLike], *, level: float = 0.9, kind: Kind = "run"
    ) -> tuple[Array, Array]:
        """Ends of the interval of `predict` as two arrays, without pandas."""
        arrays = [np.atleast_1d(a) for a in check_inputs(self.law.family, inputs)]
        predictive = self.predictive_for(arrays)
        low, high = predictive.interval(arrays, check_level(level), parts_of(kind, None))
        return self._possible(low), self._possible(high)

    def predictive_for(self, inputs: Sequence[Array]) -> Predictive:  # noqa: ARG002
        """Draws that answer a request at these inputs."""
        return self.predictive

    def extrapolation(self, inputs: Sequence[Array]) -> Array:
        """Decades beyond the measured range, largest over inputs and compute; 0 inside."""
        named = dict(zip(self.inputs, inputs, strict=True))
        if "flops" in self.ranges and "flops" not in named and {"params", "tokens"} <= set(named):
            named["flops"] = np.asarray(training_flops(named["params"], named["tokens"]))
        beyond = np.zeros(len(inputs[0]))
        for name, value in named.items():
            low, high = self.ranges[name]
            with np.errstate(over="ignore"):
                over = np.maximum(value - high, low - value) / max(high - low, 1e-300)
            if low > 0:  # a value that is not positive, of an input that may be, has no decades
                place = np.log10(np.where(value > 0, value, low))  # of a ratio it could overflow
                decades = np.maximum(place - np.log10(high), np.log10(low) - place)
                over = np.where(value > 0, decades, over)
            beyond = np.maximum(beyond, over - 1e-12)
        return np.where(beyond > 1e-9, beyond, 0.0)

    def _possible(self, values: Array) -> Array:
        """Keep values of a bounded target, such as an error rate, inside its bounds."""
        bounds = quantity(self.target).bounds
        return values if bounds is None else np.clip(values, *bounds)

    def _arrays(
        self, data: pd.DataFrame | Mapping[str, ArrayLike] | None, inputs: Mapping[str, ArrayLike]
    ) -> list[Array]:
        """Inputs as arrays of one length, from a table or from keyword arguments."""
        if data is not None:
            if not hasattr(data, "keys"):
                raise DataError(
                    f"inputs come as a table or a mapping of columns, got {type(data).__name__}. "
                    f"Give {' and '.join(f'{n}=' for n in self.inputs)}, or such a table."
                )
            if inputs:
                raise DataError("give inputs as a table or as keyword arguments, not both.")
            lacking = [n for n in self.inputs if n not in data]
            if lacking:
                raise DataError(
                    f"the table lacks the inputs {lacking}. Found: {', '.join(map(str, data))}."
                )
            inputs = {n: data[n] for n in self.inputs}
        arrays = [np.atleast_1d(a) for a in check_inputs(self.law.family, inputs)]
        if arrays[0].ndim > 1:
            raise DataError(
                f"inputs must be numbers or one-dimensional, got the shape {arrays[0].shape}. "
                "Flatten them, or call the law itself."
            )
        return arrays
