"""`Selector`: frozen options that weigh laws by how they extrapolate; `select` applies them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike

from scaling_laws.data.runs import Runs
from scaling_laws.data.tables import columns_of, frame_of
from scaling_laws.errors import DataError, LawError, Note, suggest
from scaling_laws.fitting.candidates import default_candidates, try_all, well_fed
from scaling_laws.fitting.groups import split_groups
from scaling_laws.fitting.notes import usable_clusters
from scaling_laws.fitting.selection import Selection
from scaling_laws.inference.calibration import Calibration, bundled_calibration
from scaling_laws.inference.combining import combined_predictive
from scaling_laws.inference.trials import NO_LAW, Trial, make_cuts
from scaling_laws.inference.weighing import Evidence, Weighed, weigh
from scaling_laws.laws.family import Law, LawFamily, name_tuple
from scaling_laws.quantities import INPUT_NAMES, as_floats, quantity
from scaling_laws.solving.setup import Settings, bind_family, check_draw_options

if TYPE_CHECKING:
    import pandas as pd

    from scaling_laws.fitting.selected_groups import GroupedSelection


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
    on other data sets; weights fall with its eighth power. The interval adds run noise, what the
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
