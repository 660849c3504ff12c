"""`select`: laws weighed by how they extrapolate, and `Selection`, which predicts like a fit."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike

from scaling_laws.data.read_report import ReadReport
from scaling_laws.data.runs import Runs
from scaling_laws.data.tables import columns_of, frame_of
from scaling_laws.errors import DataError, FitError, LawError, Note, ScalingLawError, suggest
from scaling_laws.fitting import text
from scaling_laws.fitting.groups import split_groups
from scaling_laws.fitting.notes import usable_clusters
from scaling_laws.fitting.predicting import Predicts
from scaling_laws.fitting.result import write_json
from scaling_laws.inference.backtest import log_distance
from scaling_laws.inference.calibration import Calibration, bundled_calibration
from scaling_laws.inference.combining import combined_predictive
from scaling_laws.inference.interval import Predictive
from scaling_laws.inference.trials import NO_LAW, Cuts, Trial, make_cuts, run_trial
from scaling_laws.inference.weighing import Evidence, Weighed, weigh
from scaling_laws.laws.family import Law, LawFamily, name_tuple
from scaling_laws.laws.registry import get_law, list_laws
from scaling_laws.quantities import INPUT_NAMES, as_floats, is_cost, quantity, training_flops
from scaling_laws.solving.objective import Array
from scaling_laws.solving.setup import Settings, bind_family, check_draw_options

if TYPE_CHECKING:
    import pandas as pd

    from scaling_laws.fitting.result import Fit
    from scaling_laws.fitting.selected_groups import GroupedSelection

_LARGEST_FOCUS = 50.0  # leaves next to nothing but the largest scale
_ROWS_A_COEFFICIENT = 4  # fewer, and forms of many coefficients that fit anything do not compete
_COSTS_OF_ONE = (NO_LAW, "power", "product_with_overhead")  # of what grows with scale
_COSTS_OF_MORE = ("product", "product_with_overhead", "translog")
_DECADE = 10.0  # beyond the runs, where a cost is to be known to a factor e
_REACH = 100.0  # times the largest run: as far as predictions are asked for


@dataclass(frozen=True)
class Selector(Settings):
    """Options of `select`; parameters as there, and those of `Settings` but ``focus``."""

    focuses: tuple[float, ...] | None = None
    draws: int = 1000
    workers: int = 1
    seed: int = 0
    time_budget: float | None = None
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_draw_options(self.draws, self.workers, self.seed)
        if self.focuses is None:
            return
        focuses = as_floats("focuses", self.focuses)
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
    _again: Callable[[str], Selection] | None = field(default=None, repr=False)

    @property
    def read_report(self) -> ReadReport | None:
        """How the table of runs came about, where `read_runs` or `clean` made it."""
        return self.runs.read_report

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each law, summed over its candidates, largest first."""
        total = self.table.groupby("law")["weight"].sum().sort_values(ascending=False)
        return {str(n): float(v) for n, v in total.items() if v > 0}

    @property
    def best(self) -> Fit:
        """The heaviest candidate's law fitted on its own, with its focus."""
        from scaling_laws.fitting.fitter import Fitter

        row = self.table.iloc[0]
        family = next(f for f in self.families if f.name == row["law"])
        own = {n: getattr(self.selector, n) for n in Settings.__dataclass_fields__}
        own["focus"] = min(float(row["focus"]), _LARGEST_FOCUS)
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
            again = self._again or partial(select_checked, self.runs, self.families, self.selector)
            self._others[along] = again(along)
        return self._others[along]

    def predictive_for(self, inputs: Sequence[Array]) -> Predictive:
        """Draws weighed for a request: along the input that alone takes it beyond the data.

        Only a selection along ``"flops"`` turns that way, and only where that input leaves the
        data further than compute does; one along an input stays with it.
        """
        if len(self.inputs) != 2 or self.along != "flops" or not len(inputs[0]):
            return self.predictive
        named = dict(zip(self.inputs, inputs, strict=True))
        beyond = {n: self.extrapolation_of(n, v) for n, v in named.items()}
        left = [n for n, distance in beyond.items() if distance > 0]
        if len(left) != 1 or beyond[left[0]] < self.extrapolation_of("flops", scale_of(named)):
            return self.predictive
        return self.toward(left[0]).predictive

    def extrapolation_of(self, name: str, values: Array) -> float:
        """Mean natural-log distance beyond the largest value of an input or of compute."""
        if name in self.ranges:
            low, high = self.ranges[name]
        else:
            compute = self.runs.compute()
            low, high = float(compute.min()), float(compute.max())
        return float(log_distance(values, low, high * (1 + 1e-9), 1.0).mean())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to a JSON file, atomically; `scaling_laws.load` reads it.

        Parameters
        ----------
        path : path

        Examples
        --------
        >>> import os, tempfile, scaling_laws as sl
        >>> runs = sl.load_dataset("tiny_lm")
        >>> selection = sl.select(runs, ["chinchilla"], focuses=(0.0,), draws=20)
        >>> path = os.path.join(tempfile.mkdtemp(), "selection.json")
        >>> selection.save(path)
        >>> sl.load(path).weights == selection.weights
        True
        """
        from scaling_laws.fitting.saved_selections import selection_to_dict

        write_json(path, selection_to_dict(self))

    def __str__(self) -> str:
        return text.selection_text(self)

    def __repr__(self) -> str:
        return text.selection_text(self)

    def _repr_html_(self) -> str:
        return text.selection_html(self)


@overload
def select(
    runs: Any,
    laws: Sequence[str | LawFamily] | None = ...,
    *,
    target: str = ...,
    inputs: Sequence[str] | None = ...,
    columns: Mapping[str, str] | None = ...,
    weights: str | ArrayLike | None = ...,
    cluster: str | ArrayLike | None = ...,
    group: None = ...,
    along: str | None = ...,
    **options: Any,
) -> Selection: ...


@overload
def select(
    runs: Any,
    laws: Sequence[str | LawFamily] | None = ...,
    *,
    target: str = ...,
    inputs: Sequence[str] | None = ...,
    columns: Mapping[str, str] | None = ...,
    weights: str | ArrayLike | None = ...,
    cluster: str | ArrayLike | None = ...,
    group: str,
    along: str | None = ...,
    **options: Any,
) -> GroupedSelection: ...


def select(
    runs: Any,
    laws: Sequence[str | LawFamily] | None = None,
    *,
    target: str = "loss",
    inputs: Sequence[str] | None = None,
    columns: Mapping[str, str] | None = None,
    weights: str | ArrayLike | None = None,
    cluster: str | ArrayLike | None = None,
    group: str | None = None,
    along: str | None = None,
    **options: Any,
) -> Selection | GroupedSelection:
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
    group : str, optional
        Column of what is fitted apart. Every group has coefficients of its own; the candidates'
        scores are those over all groups, so that short curves are judged by many.
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
        Or a `GroupedSelection`, with ``group``.

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

    In one input the value at the largest scale (``constant``) is a candidate, and the note
    ``last_value_wins`` says where no law does better. Residuals of a bounded target that should
    fall are logarithmic. Among the candidates that are not named, laws for any inputs compete
    where each of their coefficients has four runs. A cost, such as ``seconds`` or
    ``peak_memory``, has candidates of its own, which grow; other data sets, whose targets were
    losses, have no say in their weights, and those whose coefficients do not tell the cost of ten
    times the runs are left out.

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
    columns = columns_of(columns)
    names = _inputs_of(runs, target, columns) if inputs is None else name_tuple("inputs", inputs)
    if isinstance(laws, str | LawFamily):
        laws = (laws,)
    elif laws is not None and (not isinstance(laws, Sequence) or not len(laws)):
        raise LawError(f"laws must be a sequence of one or more laws, got {laws!r}.")
    if laws is None:
        families = default_candidates(names, target)
    else:
        families = tuple(bind_family(law, target, names) for law in laws)
    checked = selector.check(runs, families[0], target, columns, weights, cluster, group)
    selector = on_log_scale(selector, checked)
    parts = None if group is None else split_groups(checked, group)
    if laws is None:
        families = well_fed(families, min(map(len, (parts or {"": checked}).values())))
    chosen = along or (names[0] if len(names) == 1 else "flops")
    if chosen not in (*names, "flops"):
        raise DataError(
            f"along= must be an input or 'flops', got {chosen!r}.{suggest(chosen, names)} The "
            f"inputs are {names}."
        )
    if group is not None and parts is not None:
        from scaling_laws.fitting.selected_groups import select_groups

        return select_groups(parts, families, selector, chosen, group)
    return select_checked(checked, families, selector, chosen)


def on_log_scale(selector: Selector, runs: Runs) -> Selector:
    """Take logarithms of a bounded target that should fall, as errors, where all are positive."""
    declared = quantity(runs.target)
    falls = declared.bounds is not None and declared.direction == "lower"
    if selector.residual == "auto" and falls and (runs.y > 0).all():
        return replace(selector, residual="log")
    return selector


def well_fed(families: Sequence[LawFamily], rows: int) -> tuple[LawFamily, ...]:
    """Leave out forms for any inputs that have too many coefficients for so many rows."""
    fed = [
        f for f in families if f.build is None or rows >= _ROWS_A_COEFFICIENT * len(f.coefficients)
    ]
    return tuple(fed or families)


def _inputs_of(table: Any, target: str, columns: Mapping[str, str]) -> tuple[str, ...]:
    names = getattr(table, "columns", None)
    if names is None:
        names = frame_of(table).columns
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
    """Return the laws that compete over these inputs: those declared over them, then general ones.

    Examples
    --------
    >>> [family.name for family in default_candidates(("params", "tokens"), "loss")]
    ['chinchilla', 'coupled']
    >>> [family.name for family in default_candidates(("params", "tokens"), "seconds")]
    ['product', 'product_with_overhead', 'translog']
    """
    if is_cost(target):
        laws = _COSTS_OF_ONE if len(inputs) == 1 else _COSTS_OF_MORE
        return tuple(bind_family(law, target, inputs) for law in laws)
    candidates = [f for f in map(get_law, list_laws()) if f.candidate]
    own = [f for f in candidates if f.build is None and len(f.inputs) == len(inputs)]
    if len(inputs) == 1:
        return tuple(bind_family(law, target, inputs) for law in own)
    own = [f for f in own if set(f.inputs) == set(inputs)]
    order = own[0].inputs if own else tuple(inputs)
    own = [f for f in own if f.inputs == order]
    if set(inputs) != {"params", "tokens"}:  # whose laws of their own contain the general ones
        own += [f for f in candidates if f.build is not None]
    return tuple(bind_family(law, target, order) for law in own)


def select_checked(
    runs: Runs, families: Sequence[LawFamily], selector: Selector, along: str
) -> Selection:
    """Select among families for rows that were checked.

    Raises
    ------
    FitError
        No candidate can be fitted.
    """
    return select_tried(runs, families, selector, along, *try_all(runs, families, selector, along))


def select_tried(
    runs: Runs,
    families: Sequence[LawFamily],
    selector: Selector,
    along: str,
    trials: Sequence[Trial],
    excluded: Sequence[Mapping[str, Any]],
    pooled: Evidence | None = None,
) -> Selection:
    """Select among candidates that were tried; ``pooled`` as `inference.weighing.weigh`."""
    constants = selector.constants
    weighed = weigh(trials, make_cuts(runs, along), constants, pooled)
    clusters, doubts = usable_clusters(runs, max(len(t.free[0]) for t in trials))
    predictive = combined_predictive(
        runs, weighed, clusters, selector.draws, selector.seed, constants
    )
    law = Law(predictive.family, tuple(float(v) for v in predictive.values), name="selection")
    notes = runs.notes + doubts + _notes(weighed, selector)
    table = _table(weighed, excluded)
    return Selection(
        law, runs.target, predictive, along, table, runs.ranges(), runs, selector,
        tuple(families), notes,
    )  # fmt: skip


def try_all(
    runs: Runs, families: Sequence[LawFamily], selector: Selector, along: str
) -> tuple[list[Trial], list[dict[str, Any]]]:
    """Try every candidate; also what could not be, and why.

    Raises
    ------
    FitError
        No candidate can be fitted.
    """
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
    if is_cost(runs.target):
        trials, excluded = _established(trials, excluded, cuts)
    return _within_bounds(trials, excluded, cuts)


def _established(
    trials: list[Trial], excluded: list[dict[str, Any]], cuts: Cuts
) -> tuple[list[Trial], list[dict[str, Any]]]:
    """Leave out laws whose coefficients say nothing a decade beyond the runs, unless all do.

    Noise at the end of a flat cost passes for the onset of a steep growth, and tells no power.
    """
    why = f"its coefficients do not tell the target {_DECADE:g} times beyond the runs"
    kept, lost = [], []
    for trial in trials:
        known = ~trial.unknown_beyond(cuts, _DECADE)
        if known.any():
            kept.append(trial.only(known))
        lost += [
            {"law": trial.family.name, "typical": trial.leaning, "focus": f, "excluded": why}
            for f, told in zip(trial.focuses, known, strict=True)
            if not told
        ]
    return (kept, [*excluded, *lost]) if kept else (trials, excluded)


def _within_bounds(
    trials: list[Trial], excluded: list[dict[str, Any]], cuts: Cuts
) -> tuple[list[Trial], list[dict[str, Any]]]:
    """Leave out curves that soon pass a bound of the target, unless all of them do.

    At the bound the logit of such a curve is infinite, so it would outvote every other law.
    """
    kept = [t for t in trials if not t.leaves_bounds(cuts, _REACH)]
    if not kept or len(kept) == len(trials):
        return trials, excluded
    why = f"its curve leaves the range of the target within {_REACH:g} times beyond the runs"
    lost = [
        {"law": t.family.name, "typical": t.leaning, "excluded": why}
        for t in trials
        if not any(t is k for k in kept)
    ]
    return kept, [*excluded, *lost]


def scale_of(named: Mapping[str, Array]) -> Array:
    """Compute of a request, or the product of its inputs where that is not known."""
    if {"params", "tokens"} <= set(named):
        return np.asarray(training_flops(named["params"], named["tokens"]))
    return np.asarray(np.prod(np.stack(list(named.values())), axis=0))


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
    if weighed.places[int(weighed.weights.argmax())][0].family.name == NO_LAW:
        notes.append(
            Note(
                "last_value_wins",
                "info",
                f"no law beat the value at the largest '{along}' in backtests here and on other "
                "data: a trend beyond the data is not established. Add larger runs",
                {"along": along, "weight": float(weighed.weights.max())},
            )
        )
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
