"""`select`: laws weighed by how they extrapolate, and `Selection`, which predicts like a fit."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from scaling_laws.data.runs import Runs
from scaling_laws.errors import DataError, FitError, Note, ScalingLawError, suggest
from scaling_laws.fitting import text
from scaling_laws.fitting.notes import usable_clusters
from scaling_laws.fitting.predicting import Predicts
from scaling_laws.inference.backtest import log_distance
from scaling_laws.inference.calibration import Calibration, bundled_calibration
from scaling_laws.inference.interval import Predictive, Spread
from scaling_laws.inference.law_error import LawError
from scaling_laws.inference.resample import cluster_weights, keyed_normals, keyed_uniforms
from scaling_laws.inference.trials import FOCUSES, Trial, make_cuts, run_trial
from scaling_laws.inference.weighing import Weighed, directions, weigh
from scaling_laws.laws.combined import combine
from scaling_laws.laws.family import Law, LawFamily
from scaling_laws.laws.registry import get_law, list_laws
from scaling_laws.quantities import INPUT_NAMES, training_flops
from scaling_laws.solving.objective import Array
from scaling_laws.solving.setup import Settings, bind_family, check_draw_options

if TYPE_CHECKING:
    import pandas as pd

    from scaling_laws.fitting.result import Fit

_LEAST_WEIGHT = 0.001  # lighter candidates are listed but not drawn from


@dataclass(frozen=True)
class Selector(Settings):
    """Options of `select`; parameters as there, and those of `Settings` but ``focus``."""

    focuses: tuple[float, ...] = FOCUSES
    draws: int = 1000
    workers: int = 1
    seed: int = 0
    time_budget: float | None = None
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_draw_options(self.draws, self.workers, self.seed)
        focuses = np.asarray(self.focuses, dtype=float)
        if (
            focuses.ndim != 1
            or not len(focuses)
            or not (np.isfinite(focuses) & (focuses >= 0)).all()
        ):
            raise DataError(f"focuses must be numbers >= 0, got {self.focuses!r}.")

    @property
    def constants(self) -> Calibration:
        """The calibration in force."""
        return self.calibration or bundled_calibration()


@dataclass(frozen=True, eq=False)
class Selection(Predicts):
    """Several laws, weighed by their backtests; predicts and plans like one fit. Frozen.

    Parameters
    ----------
    law : Law
        The weighted mean of the candidates, callable.
    target : str
    predictive : Predictive
        Draws; each belongs to one candidate.
    along : str
        Direction of the backtests that weighed the candidates.
    table : DataFrame
        One row a candidate, best first: law, whether it leans on ``typical`` coefficients,
        ``focus``, held-out ``error``, ``weight``, or why it was ``excluded``.
    ranges : mapping of str to (float, float)
        Measured range of every input, and of ``flops`` where known.
    runs : Runs
        The rows used.
    selector : Selector
    families : tuple of LawFamily
        Laws that competed.
    notes : tuple of Note

    Examples
    --------
    >>> import scaling_laws as sl
    >>> selection = sl.select(sl.load_dataset("tiny_lm"), ["coupled"], focuses=(1.0,), draws=50)
    >>> selection.along, list(selection.weights)
    ('flops', ['coupled'])
    """

    law: Law
    target: str
    predictive: Predictive
    along: str
    table: pd.DataFrame
    ranges: Mapping[str, tuple[float, float]]
    runs: Runs
    selector: Selector
    families: tuple[LawFamily, ...]
    notes: tuple[Note, ...]
    _others: dict[str, Selection] = field(default_factory=dict, repr=False)

    @property
    def draws(self) -> Array:
        """Coefficient draws of the combined law; each weighs one candidate only."""
        return self.predictive.coef

    @property
    def noise(self) -> float:
        """Standard deviation of one run on the residual scale."""
        return self.predictive.noise

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each law, summed over its candidates, largest first."""
        total = self.table.groupby("law")["weight"].sum().sort_values(ascending=False)
        return {str(n): float(v) for n, v in total.items() if v > 0}

    @property
    def trusted(self) -> bool:
        """Whether no note is a warning."""
        return all(n.severity != "warning" for n in self.notes)

    @property
    def best(self) -> Fit:
        """The heaviest candidate's law fitted on its own, with its focus."""
        from scaling_laws.fitting.fitter import Fitter

        row = self.table.iloc[0]
        family = next(f for f in self.families if f.name == row["law"])
        own = {n: getattr(self.selector, n) for n in Settings.__dataclass_fields__}
        own["focus"] = float(row["focus"])
        fitter = Fitter(**own, draws=self.selector.draws, seed=self.selector.seed)
        return fitter.fit_checked(self.runs, family)

    def toward(self, along: str) -> Selection:
        """Weigh the same laws by backtests along another direction.

        Parameters
        ----------
        along : str
            An input, or ``"flops"``.

        Returns
        -------
        Selection

        Raises
        ------
        DataError
            No such direction.

        Examples
        --------
        >>> import scaling_laws as sl
        >>> runs = sl.load_dataset("tiny_lm")
        >>> selection = sl.select(runs, ["chinchilla"], focuses=(0.0,), draws=50)
        >>> selection.toward("params").along
        'params'
        """
        if along == self.along:
            return self
        if along not in self._others:
            self._others[along] = select_checked(self.runs, self.families, self.selector, along)
        return self._others[along]

    def predictive_for(self, inputs: Sequence[Array]) -> Predictive:
        """Draws weighed for a request: along the input that alone takes it beyond the data.

        Only a selection along ``"flops"`` turns that way, and only where that input leaves the
        data further than compute does; one along an input stays with it.
        """
        if len(self.inputs) != 2 or self.along != "flops":
            return self.predictive
        named = dict(zip(self.inputs, inputs, strict=True))
        beyond = {n: self.extrapolation_of(n, v) for n, v in named.items()}
        left = [n for n, distance in beyond.items() if distance > 0]
        if len(left) != 1 or beyond[left[0]] < self.extrapolation_of("flops", scale_of(named)):
            return self.predictive
        return self.toward(left[0]).predictive

    def extrapolation_of(self, name: str, values: Array) -> float:
        """Mean natural-log distance beyond the largest value of an input or of compute."""
        largest = self.ranges[name][1] if name in self.ranges else float(self.runs.compute().max())
        return float(log_distance(values, largest * (1 + 1e-9), 1.0).mean())

    def __str__(self) -> str:
        return text.selection_text(self)

    def __repr__(self) -> str:
        return text.selection_text(self)

    def _repr_html_(self) -> str:
        return text.selection_html(self)


def select(
    runs: Any,
    laws: Sequence[str | LawFamily] | None = None,
    *,
    target: str = "loss",
    inputs: Sequence[str] | None = None,
    columns: Mapping[str, str] | None = None,
    weights: str | ArrayLike | None = None,
    cluster: str | ArrayLike | None = None,
    along: str | None = None,
    **options: Any,
) -> Selection:
    """Weigh laws by how they extrapolate, and predict with all of them.

    Parameters
    ----------
    runs : DataFrame, mapping of columns, or sequence of mappings
        As `scaling_laws.fit`.
    laws : sequence of str or LawFamily, optional
        Candidates. Default: the built-in ones over these inputs.
    target, columns, weights, cluster
        As `scaling_laws.fit`.
    inputs : sequence of str, optional
        Default: ``params`` and ``tokens`` where the table has both, else the one input it has.
    along : str, optional
        Direction of extrapolation that backtests imitate: an input, or ``"flops"`` for the scale
        of the runs. Default: the only input, or ``"flops"``.
    **options
        ``focuses`` (tried for each law), ``draws``, ``workers``, ``seed``, ``time_budget``
        (seconds after which no further law is tried), ``calibration``, and ``residual``,
        ``robust``, ``fixed``, ``bounds``, ``ties``, ``priors`` as `scaling_laws.fit`.

    Returns
    -------
    Selection

    Raises
    ------
    DataError, LawError
        As `scaling_laws.fit`; or no law is known over these inputs.
    FitError
        No candidate can be fitted; the reasons are listed.

    Notes
    -----
    A candidate is a law with a focus: rows weigh as their scale to that power, so that runs near
    the question count more. Laws that declare typical coefficients compete with and without
    leaning on them. Rolling-origin backtests give each a held-out error, shrunk to what it is
    on other data sets; weights fall with its fifth power. The interval adds run noise, what the
    coefficients may be, how candidates disagree, and an error of the laws themselves that grows
    with distance, at the rate by which backtests missed more than the rest explains.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> selection = sl.select(sl.load_dataset("tiny_lm"), draws=100)
    >>> sorted(selection.weights)
    ['chinchilla', 'coupled']
    """
    known = tuple(n for n in Selector.__dataclass_fields__ if n not in ("focus", "start"))
    for name in options:
        if name not in known:
            raise DataError(f"select has no option '{name}'.{suggest(name, known)} It has {known}.")
    selector = Selector(**options)
    names = tuple(inputs) if inputs is not None else _inputs_of(runs, target, columns or {})
    if isinstance(laws, str | LawFamily):
        laws = (laws,)
    if laws is None:
        families = default_candidates(names, target)
    else:
        families = tuple(bind_family(law, target, names) for law in laws)
    checked = selector.check(runs, families[0], target, columns, weights, cluster)
    chosen = along or (names[0] if len(names) == 1 else "flops")
    if chosen not in (*names, "flops"):
        raise DataError(
            f"along= must be an input or 'flops', got {chosen!r}.{suggest(chosen, names)} The "
            f"inputs are {names}."
        )
    return select_checked(checked, families, selector, chosen)


def _inputs_of(table: Any, target: str, columns: Mapping[str, str]) -> tuple[str, ...]:
    names = getattr(table, "columns", None)
    if names is None:
        names = table if isinstance(table, Mapping) else {n: 0 for row in table for n in row}
    have = set(map(str, names))
    found = [n for n in INPUT_NAMES if columns.get(n, n) in have and n != target]
    if {"params", "tokens"} <= set(found):
        return ("params", "tokens")
    found = [n for n in found if n != "flops"] or found
    if len(found) == 1:
        return (found[0],)
    raise DataError(
        f"select cannot tell which columns are inputs: it found {found}. Name them with inputs=, "
        "and your own column names with columns=."
    )


def default_candidates(inputs: Sequence[str], target: str) -> tuple[LawFamily, ...]:
    """Return the built-in laws that compete over these inputs.

    Raises
    ------
    DataError
        None is known.

    Examples
    --------
    >>> [family.name for family in default_candidates(("params", "tokens"), "loss")]
    ['chinchilla', 'coupled']
    """
    built_in = [f for f in map(get_law, list_laws()) if f.candidate]
    alike = [f for f in built_in if f.build is None and len(f.inputs) == len(inputs)]
    if len(inputs) > 1:
        alike = [f for f in alike if f.inputs == tuple(inputs)]
    laws = alike or [f for f in built_in if f.build is not None]
    if not laws:
        raise DataError(f"no built-in candidate takes the inputs {tuple(inputs)}. Name laws=.")
    return tuple(bind_family(law, target, inputs) for law in laws)


def select_checked(
    runs: Runs, families: Sequence[LawFamily], selector: Selector, along: str
) -> Selection:
    """Select among families for rows that were checked.

    Raises
    ------
    FitError
        No candidate can be fitted.
    """
    trials, excluded = _try_all(runs, families, selector, along)
    cuts = make_cuts(runs, along)
    weighed = weigh(trials, cuts, selector.constants)
    kept = np.flatnonzero(weighed.weights >= min(_LEAST_WEIGHT, weighed.weights.max()))
    predictive, doubts = _predictive(runs, weighed, kept, selector)
    law = Law(predictive.family, tuple(float(v) for v in predictive.values), name="selection")
    notes = runs.notes + doubts + _notes(weighed, selector)
    table = _table(weighed, excluded)
    return Selection(
        law, runs.target, predictive, along, table, runs.ranges(), runs, selector,
        tuple(families), notes,
    )  # fmt: skip


def _try_all(
    runs: Runs, families: Sequence[LawFamily], selector: Selector, along: str
) -> tuple[list[Trial], list[dict[str, Any]]]:
    cuts = make_cuts(runs, along)
    started = time.monotonic()
    trials: list[Trial] = []
    excluded: list[dict[str, Any]] = []
    for family in families:
        typical = (family.solve_as or family).typical
        for leaning in (False, True) if typical else (False,):
            late = selector.time_budget is not None and trials
            if late and time.monotonic() - started > float(selector.time_budget or 0):
                why = f"the time budget of {selector.time_budget:g} s was spent"
                excluded.append({"law": family.name, "typical": leaning, "excluded": why})
                continue
            try:
                trials.append(
                    run_trial(
                        selector, runs, family, cuts, leaning=leaning, focuses=selector.focuses
                    )
                )
            except ScalingLawError as error:
                excluded.append({"law": family.name, "typical": leaning, "excluded": str(error)})
    if not trials:
        reasons = "; ".join(f"{e['law']}: {e['excluded']}" for e in excluded)
        raise FitError(f"none of {len(families)} laws can be fitted. {reasons}")
    return trials, excluded


def _predictive(
    runs: Runs, weighed: Weighed, kept: Any, selector: Selector
) -> tuple[Predictive, tuple[Note, ...]]:
    """Combine the kept candidates: point coefficients, draws of each, law error, noise."""
    constants = selector.constants
    places = [weighed.places[i] for i in kept]
    share = weighed.weights[kept] / weighed.weights[kept].sum()
    first = places[0][0].problem
    family = combine([t.family for t, _ in places], first.residual, first.bounds)
    uniform = keyed_uniforms(
        np.array([0x5E1EC7], dtype=np.uint64), 0, selector.draws, selector.seed
    )
    owner = np.minimum(np.searchsorted(np.cumsum(share), uniform[:, 0]), len(places) - 1)
    clusters, doubts = usable_clusters(runs, max(len(t.free[0]) for t, _ in places))
    reweighted = cluster_weights(clusters, 0, selector.draws, selector.seed)
    point = [t.prepared.raw(t.free[[f]])[0] for t, f in places]
    drawn, moved, sizes = [], [], []
    for i, (trial, focus) in enumerate(places):
        mine = np.flatnonzero(owner == i)
        block = np.repeat(point[i][None], selector.draws, axis=0)
        block[mine] = trial.prepared.raw(trial.one_step(focus, reweighted[mine]))
        drawn.append(block)
        steps, size = trial.sandwich_steps(focus)
        moved.append(_one_candidate(point, i, trial.prepared.raw(steps)))
        sizes.append(size)
    weights = np.eye(len(places))[owner] if selector.draws else np.zeros((0, len(places)))
    predictive = Predictive(
        family=family,
        values=np.concatenate([share, *point]),
        coef=np.concatenate([weights, *drawn], axis=1),
        z_law=keyed_normals("law error", selector.draws, selector.seed),
        z_run=keyed_normals("run noise", selector.draws, selector.seed),
        noise=float(np.sqrt(weighed.noise_variance())),
        residual=first.residual,
        bounds=first.bounds,
        law_error=LawError(
            {
                **{n: constants.rate(n) for n in directions(runs)},
                weighed.cuts.along: weighed.rate,
            },
            runs.ranges(),
        ),
        spread=Spread(
            len(places),
            constants.coefficient_share,
            np.concatenate(moved),
            np.concatenate(sizes),
            {
                part: keyed_normals(part, selector.draws, selector.seed)
                for part in ("candidates", "coefficients")
            },
            _stretch(constants, selector),
            constants.factor,
            constants.dof,
        ),
    )
    return predictive, doubts


def _one_candidate(point: Sequence[Array], i: int, raw: Array) -> Array:
    """Coefficients of the combined law that weigh candidate ``i`` alone, with these of its own."""
    rows = [np.repeat(p[None], len(raw), axis=0) for p in point]
    rows[i] = raw
    return np.concatenate([np.repeat(np.eye(len(point))[[i]], len(raw), axis=0), *rows], axis=1)


def scale_of(named: Mapping[str, Array]) -> Array:
    """Compute of a request, or the product of its inputs where that is not known."""
    if {"params", "tokens"} <= set(named):
        return np.asarray(training_flops(named["params"], named["tokens"]))
    return np.asarray(np.prod(np.stack(list(named.values())), axis=0))


def _stretch(constants: Calibration, selector: Selector) -> Array:
    """Factor of each draw's deviation: Student's t instead of a normal, and calibrated."""
    from scipy.special import gammaincinv

    label = np.array([0x57E7C4], dtype=np.uint64)
    rank = keyed_uniforms(label, 0, selector.draws, selector.seed)[:, 0]
    square = 2.0 * gammaincinv(0.5 * constants.dof, rank)
    return np.asarray(constants.factor * np.sqrt(constants.dof / square))


def _table(weighed: Weighed, excluded: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    rows: list[dict[str, Any]] = [
        {
            "law": trial.family.name,
            "typical": trial.leaning,
            "focus": trial.focuses[i],
            "error": float(weighed.backtest[j]),
            "weight": float(weighed.weights[j]),
            "excluded": "",
        }
        for j, (trial, i) in enumerate(weighed.places)
    ]
    rows.sort(key=lambda row: -row["weight"])
    lost = [{"focus": np.nan, "error": np.nan, "weight": 0.0, **e} for e in excluded]
    return pd.DataFrame([*rows, *lost], columns=list(rows[0]))


def _notes(weighed: Weighed, selector: Selector) -> tuple[Note, ...]:
    notes = []
    along = weighed.cuts.along
    if weighed.cuts_used < 2:
        notes.append(
            Note(
                "law_error_from_prior",
                "info",
                f"fewer than two backtests along '{along}': weights and law error are what other "
                "data sets say",
                {"along": [along]},
            )
        )
    if not selector.draws:
        notes.append(Note("no_draws", "info", "draws=0: predictions carry no interval"))
    return tuple(notes)
