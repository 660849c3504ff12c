"""Comparing recipes: paired difference, chance to be better, compute multiplier, crossing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from scaling_laws.errors import DataError, Note, PlanError, suggest
from scaling_laws.inference.interval import Kind, check_level, parts_of
from scaling_laws.laws.family import Array
from scaling_laws.planning.recipes import text
from scaling_laws.planning.recipes.gap import Gap, Points
from scaling_laws.planning.recipes.path import Path, last_change, reached
from scaling_laws.planning.recipes.recipes import Pooling, Recipes, gather
from scaling_laws.quantities import check_values

if TYPE_CHECKING:
    import pandas as pd

_AHEAD = (1.0, 10.0, 30.0, 100.0)  # times the largest common scale, where no point is asked for
_STEP = 0.05  # in the logarithm of scale, of the grid that curves are inverted on
_REACH = (1e-4, 1e4)  # times the scales asked for, within which an equal is looked for
_ROUNDING = 1e-9  # relative gap that counts as none
_CROSSING = (1e-2, 1e4)  # times today's scale, within which crossings are looked for


@dataclass(frozen=True, eq=False)
class Comparison:
    """How recipes compare at any scale. Frozen; made by `compare`.

    Parameters
    ----------
    names : tuple of str
        The recipes.
    reference : str
        The recipe that the others are compared with.
    target : str
    higher : bool
        Whether a higher target is better.
    along : str
        What scale means: ``"flops"`` or an input.
    level : float
        Mass of the intervals.
    weights : mapping of str to float
        How much each idea of the gap counts: ``"today"`` (today's gap stays), ``"shared"``
        (coefficients shared), ``"random"`` (shrunk towards common ones), ``"apart"`` (each recipe
        by itself).
    backtest : DataFrame
        One row a cut and window of held-out runs: by how much each idea missed the gap, on the
        scale of the residuals (relative, for a loss).
    table : DataFrame
        The points asked for; see `difference`.
    notes : tuple of Note
        What to know before relying on it.
    gap : Gap
        The recipes' predictions and draws.
    path : Path
        How recipes scale.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> runs = sl.load_dataset("tiny_lm")
    >>> worse = runs.assign(loss=1.05 * runs.loss)
    >>> both = sl.compare({"new": runs, "old": worse}, law="chinchilla", draws=100)
    >>> list(both.table.winner.unique())
    ['new']
    """

    names: tuple[str, ...]
    reference: str
    target: str
    higher: bool
    along: str
    level: float
    weights: Mapping[str, float]
    backtest: pd.DataFrame
    table: pd.DataFrame
    notes: tuple[Note, ...]
    gap: Gap
    path: Path

    @property
    def today(self) -> float:
        """Largest scale at which every recipe was measured."""
        return self.gap.today

    @property
    def others(self) -> tuple[str, ...]:
        """The recipes but the reference."""
        return tuple(n for n in self.names if n != self.reference)

    def difference(
        self,
        *,
        kind: Kind = "mean",
        ratio: float | None = None,
        hold: Mapping[str, float] | None = None,
        **quantities: ArrayLike,
    ) -> pd.DataFrame:
        """Compare at points.

        Parameters
        ----------
        kind : {"mean", "run"}
            ``"mean"``: the recipes' curves. ``"run"``: one new run of each, whose noises differ.
        ratio : float, optional
            Tokens per parameter, where only compute is given. Default: as in `compare`.
        hold : mapping of str to float, optional
            Values of the inputs that do not scale. Default: as in `compare`.
        **quantities : array_like
            Scale alone, such as ``flops=[1e21, 1e22]``: laws of params and tokens then take each
            recipe at its own best split, or at ``ratio``. Or one entry for every input of the
            law, the same point for every recipe; they broadcast. Default: 1, 10, 30 and 100 times
            `today`.

        Returns
        -------
        DataFrame
            One row a point and recipe other than the reference: `along` and the inputs,
            ``recipe``, ``reference``, the target of both, ``difference`` (recipe less reference)
            with ``_low`` and ``_high``, ``p_better`` (chance that the recipe is better),
            ``winner``, and ``extrapolation`` [decades beyond `today`].

        Raises
        ------
        DataError
            A value is missing, unknown or outside its domain; or an unknown ``kind``.
        PlanError
            ``ratio`` or ``hold`` does not suit the laws.

        Examples
        --------
        >>> import scaling_laws as sl
        >>> runs = sl.load_dataset("tiny_lm")
        >>> worse = runs.assign(loss=1.05 * runs.loss)
        >>> both = sl.compare({"new": runs, "old": worse}, law="chinchilla", draws=100)
        >>> ahead = both.difference(params=1e7, tokens=1e9)
        >>> bool((ahead.difference < 0).all())
        True
        """
        runs = "run" in parts_of(kind, None)
        if not quantities or set(quantities) == {self.along}:
            at = self._asked(quantities)
            points = self._points(at, self._path(ratio, hold))
        else:
            at, points = self._given(quantities)
        mean, drawn = self.gap.mean(points), self.gap.draws(points, runs=runs)
        ref, sign = self.names.index(self.reference), 1.0 if self.higher else -1.0
        rows = []
        for name in self.others:
            i = self.names.index(name)
            gap = _exact(mean[i] - mean[ref], mean[ref])
            low, high, chance = self._spread(_exact(drawn[i] - drawn[ref], drawn[ref]), sign)
            better = np.where(sign * gap > 0, name, self.reference)
            rows.append(
                _inputs(self.path.inputs, self.along, points[i], points[ref])
                | {
                    self.target: mean[i],
                    f"{self.target}_reference": mean[ref],
                    "difference": gap,
                    "difference_low": low,
                    "difference_high": high,
                    "p_better": chance,
                    "winner": np.where(gap == 0, "neither", better),
                }
            )
        return self._frame(at, rows)

    def multiplier(
        self,
        *,
        ratio: float | None = None,
        hold: Mapping[str, float] | None = None,
        **scale: ArrayLike,
    ) -> pd.DataFrame:
        r"""How much more the reference needs for what a recipe reaches.

        Parameters
        ----------
        ratio, hold
            As `difference`.
        **scale : array_like
            Values of `along` spent on the recipe, such as ``flops=[1e21, 1e22]``. Default: 1, 10,
            30 and 100 times `today`.

        Returns
        -------
        DataFrame
            One row a scale and recipe other than the reference: `along`, ``recipe``,
            ``reference``, ``multiplier`` with ``_low`` and ``_high``, and ``extrapolation``.
            Above 1 the recipe is the better one, below 1 the reference; infinite where the
            reference does not get there within 10,000 times the scale.

        Raises
        ------
        DataError, PlanError
            As `difference`.

        Notes
        -----
        Where recipes share floor and exponent :math:`\alpha`, the multiplier is
        :math:`((L_{ref} - L_\infty) / (L - L_\infty))^{1 / \alpha}` at every budget.

        Examples
        --------
        >>> import scaling_laws as sl
        >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=100)
        >>> same = sl.compare({"a": fit, "b": fit}).multiplier(flops=[1e12, 1e14])
        >>> same.multiplier.round(6).tolist()
        [1.0, 1.0]
        """
        asked = self._asked(scale)
        grid = _grid(asked.min() * _REACH[0], asked.max() * _REACH[1], asked)
        mean, drawn = self._signed(self._points(grid, self._path(ratio, hold)))
        at, log = np.searchsorted(grid, asked), np.log(grid)
        ref = self.names.index(self.reference)
        rows = []
        for name in self.others:
            i = self.names.index(name)
            pairs = zip(drawn[ref], drawn[i], strict=True)
            many = [np.exp(reached(log, r, o[at]) - log[at]) for r, o in pairs]
            low, high, _ = self._spread(np.array(many).reshape(-1, len(at)))
            best = np.exp(reached(log, mean[ref], mean[i, at]) - log[at])
            rows.append({"multiplier": best, "multiplier_low": low, "multiplier_high": high})
        return self._frame(asked, rows)

    def crossing(
        self, *, ratio: float | None = None, hold: Mapping[str, float] | None = None
    ) -> pd.DataFrame:
        """Where a recipe and the reference change places.

        Parameters
        ----------
        ratio, hold
            As `difference`.

        Returns
        -------
        DataFrame
            One row a recipe other than the reference. ``crossing``: largest scale, from a
            hundredth to 10,000 times `today`, at which they are equal, NaN where they never are;
            ``crossing_low`` and ``crossing_high`` over the draws that cross; ``share`` of draws
            that do; ``p_ahead``: share that cross beyond `today`; ``better_beyond``: who is
            better in the end.

        Examples
        --------
        >>> import scaling_laws as sl
        >>> runs = sl.load_dataset("tiny_lm")
        >>> worse = runs.assign(loss=1.05 * runs.loss)
        >>> both = sl.compare({"new": runs, "old": worse}, law="chinchilla", draws=100)
        >>> both.crossing().better_beyond.tolist()
        ['new']
        """
        import pandas as pd

        grid = _grid(self.today * _CROSSING[0], self.today * _CROSSING[1])
        mean, drawn = self._signed(self._points(grid, self._path(ratio, hold)))
        ref, log = self.names.index(self.reference), np.log(grid)
        rows = []
        for name in self.others:
            i = self.names.index(name)
            gap = _exact(mean[i] - mean[ref], mean[ref])
            many = np.exp(last_change(log, _exact(drawn[i] - drawn[ref], drawn[ref])))
            crossed = many[np.isfinite(many)]
            low, high, _ = self._spread(crossed[:, None])
            known = len(many) > 0
            rows.append(
                {
                    "recipe": name,
                    "reference": self.reference,
                    "crossing": np.exp(last_change(log, gap[None]))[0],
                    "crossing_low": low[0],
                    "crossing_high": high[0],
                    "share": len(crossed) / len(many) if known else np.nan,
                    "p_ahead": float(np.mean(many > self.today)) if known else np.nan,
                    "better_beyond": (name, "neither", self.reference)[int(np.sign(gap[-1])) + 1],
                }
            )
        return pd.DataFrame(rows)

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of `table`."""
        return self.table.copy()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping: the table by row, the weights, the notes.

        Examples
        --------
        >>> import json, scaling_laws as sl
        >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=50)
        >>> data = sl.compare({"a": fit, "b": fit}, pooling="apart").to_dict()
        >>> json.loads(json.dumps(data))["weights"]
        {'apart': 1.0}
        """
        return text.as_dict(self)

    def __str__(self) -> str:
        return text.as_text(self)

    def __repr__(self) -> str:
        return text.as_text(self)

    def _repr_html_(self) -> str:
        return text.as_html(self)

    def _asked(self, scale: Mapping[str, ArrayLike]) -> Array:
        """Return the scales asked for, or those shown where none was."""
        if not scale:
            return self.today * np.array(_AHEAD)
        if set(scale) != {self.along}:
            raise PlanError(
                f"these recipes scale along '{self.along}', got {sorted(scale)}. Give "
                f"{self.along}=..., or compare(..., along=...)."
            )
        return np.atleast_1d(check_values(self.along, scale[self.along], "positive"))

    def _path(self, ratio: float | None, hold: Mapping[str, float] | None) -> Path:
        held = self.path.holding(hold) if hold else self.path
        return held if ratio is None else replace(held, ratio=ratio)

    def _points(self, scale: Array, path: Path) -> list[list[Array]]:
        return [path.points(scale, curve, self.higher) for curve in self.gap.curves]

    def _given(self, inputs: Mapping[str, ArrayLike]) -> tuple[Array, list[list[Array]]]:
        wanted = self.path.inputs
        for name in inputs:
            if name not in wanted:
                raise DataError(
                    f"the laws have no input '{name}'.{suggest(name, wanted)} They take {wanted}."
                )
        lacking = [n for n in wanted if n not in inputs]
        if lacking:
            raise DataError(f"a point needs every input of the laws: {lacking} missing.")
        values = [np.atleast_1d(check_values(n, inputs[n])) for n in wanted]
        point = [np.asarray(v, dtype=float) for v in np.broadcast_arrays(*values)]
        return self.gap.scale.of(point), [point] * len(self.names)

    def _signed(self, points: Points) -> tuple[Array, Array]:
        """Point and draws, lower is better: ``(recipes, n)`` and ``(recipes, k, n)``."""
        sign = -1.0 if self.higher else 1.0
        return sign * self.gap.mean(points), sign * self.gap.draws(points)

    def _spread(self, drawn: Array, sign: float = 1.0) -> tuple[Array, Array, Array]:
        """Ends of the interval of draws ``(k, n)``, and the share of them above zero."""
        if not len(drawn):
            nothing = np.full(drawn.shape[1], np.nan)
            return nothing, nothing, nothing
        ordered = np.sort(drawn, axis=0)  # no interpolation: infinities stay
        i = int(0.5 * (1 - self.level) * (len(drawn) - 1))
        chance = np.mean(sign * drawn > 0, axis=0) + 0.5 * np.mean(drawn == 0, axis=0)
        return ordered[i], ordered[-1 - i], chance

    def _frame(self, at: Array, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
        """One block of rows for each of `others`."""
        import pandas as pd

        beyond = np.log10(at / self.today)
        blocks = [
            pd.DataFrame(
                {self.along: at, "recipe": name, "reference": self.reference}
                | dict(columns)
                | {"extrapolation": np.where(beyond > 1e-9, beyond, 0.0)}
            )
            for name, columns in zip(self.others, rows, strict=True)
        ]
        return pd.concat(blocks, ignore_index=True)


def compare(
    recipes: Mapping[str, Any],
    *,
    reference: str | None = None,
    at: Mapping[str, ArrayLike] | None = None,
    along: str | None = None,
    ratio: float | None = None,
    hold: Mapping[str, float] | None = None,
    pooling: Pooling = "auto",
    level: float = 0.9,
    law_error: bool = True,
    law: Any = None,
    **options: Any,
) -> Comparison:
    """Compare recipes: who wins at scale, by how much, and how sure that is.

    Parameters
    ----------
    recipes : mapping of str to Fit, Selection or table of runs
        At least two: fits, or tables together with ``law``.
    reference : str, optional
        Recipe that the others are compared with. Default: the last.
    at : mapping, optional
        Points of `Comparison.table`: ``{"flops": [...]}`` (or another `along`), or one entry per
        input. Default: 1, 10, 30 and 100 times the largest scale measured for all.
    along : str, optional
        What scale means. Default: ``"flops"`` for laws of params and tokens, else the first input.
    ratio : float, optional
        Tokens per parameter of laws of params and tokens. Default: each recipe at its own best.
    hold : mapping of str to float, optional
        Inputs that do not scale, for laws of others than params and tokens. Default: the largest
        value measured for all.
    pooling : {"auto", "today", "shared", "random", "apart"}
        How the recipes' difference is extrapolated. ``"today"``: today's gap stays. ``"shared"``:
        floors, exponents and shapes are the same. ``"random"``: they are shrunk towards common
        ones, the more the less they differ. ``"apart"``: every fit as it is. ``"auto"``: their
        weighted median; weights follow a rolling backtest of the gap, starting from those that
        did best on open data.
    level : float, default 0.9
    law_error : bool, default True
        Whether intervals include that gaps drift in ways no law foresees.
    law : str or LawFamily, optional
        For tables: the law to fit to each.
    **options
        For tables: other arguments of `scaling_laws.fit`, such as ``target``, ``inputs``,
        ``columns``, ``cluster``, ``draws`` and ``seed``.

    Returns
    -------
    Comparison

    Raises
    ------
    DataError
        Tables that cannot be fitted, an unknown option, an impossible ``level`` or point.
    PlanError
        Fewer than two recipes, not fits, different targets, inputs or residual scales, no such
        reference, or a pooling that these fits do not allow.

    Notes
    -----
    Draws are paired: a run that two recipes share has the same bootstrap weight in both, so what
    they have in common cancels in the difference. Recipes are compared by the deviation of each
    from their mean, on the scale of the residuals (logarithm of a loss), anchored at the runs
    near the largest common scale. The error of a law moves all recipes alike; what laws miss of
    the difference is a drift per e-fold of scale, learned from the backtest and a guess measured
    on open recipe pairs. Partial pooling follows [1]_.

    References
    ----------
    .. [1] Gelman and Hill (2006), Data Analysis Using Regression and Multilevel Models, ch. 12.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> runs = sl.load_dataset("tiny_lm")
    >>> worse = runs.assign(loss=1.05 * runs.loss)
    >>> both = sl.compare({"new": runs, "old": worse}, law="chinchilla", draws=100)
    >>> both.difference(flops=1e13).winner.tolist()
    ['new']
    >>> bool((both.multiplier().multiplier > 1).all())
    True
    """
    import pandas as pd

    level = check_level(level)
    found = gather(recipes, law, options)
    chosen = found.names[-1] if reference is None else reference
    if chosen not in found.names:
        raise PlanError(
            f"reference={reference!r} is not a recipe.{suggest(str(reference), found.names)} They "
            f"are {', '.join(found.names)}."
        )
    path = _path(found, along, ratio).holding(hold or {})
    gap, rows, notes = found.gap(path.scale, pooling, law_error=law_error)
    empty = Comparison(
        names=found.names,
        reference=chosen,
        target=found.target,
        higher=found.higher,
        along=path.scale,
        level=level,
        weights=dict(gap.weights),
        backtest=pd.DataFrame(rows, columns=["cut", "distance", "runs", *gap.weights]),
        table=pd.DataFrame(),
        notes=notes,
        gap=gap,
        path=path,
    )
    asked: dict[str, Any] = dict(at or {})
    return replace(empty, table=empty.difference(**asked))


def _path(recipes: Recipes, along: str | None, ratio: float | None) -> Path:
    """The way the recipes scale; inputs that do not stay at the largest value of all."""
    joint = set(recipes.inputs) == {"params", "tokens"}
    known = [*(["flops"] if joint else []), *recipes.inputs]
    chosen = known[0] if along is None else along
    if chosen not in known:
        raise PlanError(
            f"along={along!r} is nothing these recipes scale in.{suggest(chosen, known)} Use one "
            f"of {', '.join(known)}."
        )
    stays = [n for n in recipes.inputs if n != chosen and chosen in recipes.inputs]
    held = {n: min(f.ranges[n][1] for f in recipes.fits.values()) for n in stays}
    return Path(chosen, recipes.inputs, ratio, held)


def _inputs(
    names: Sequence[str], along: str, own: Sequence[Array], other: Sequence[Array]
) -> dict[str, Any]:
    """Columns of the inputs; the reference's too where they differ."""
    out: dict[str, Any] = {}
    for name, a, b in zip(names, own, other, strict=True):
        if name != along:
            out[name] = a
            if not np.array_equal(a, b):
                out[f"{name}_reference"] = b
    return out


def _exact(gap: Array, size: Array) -> Array:
    """Gaps with those that are only rounding set to zero."""
    return np.where(np.abs(gap) <= _ROUNDING * np.abs(size), 0.0, gap)


def _grid(low: float, high: float, extra: Array | None = None) -> Array:
    count = int(np.ceil(np.log(high / low) / _STEP)) + 1
    grid = np.geomspace(low, high, count)
    return grid if extra is None else np.union1d(grid, extra)
