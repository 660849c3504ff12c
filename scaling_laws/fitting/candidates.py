"""Which laws compete for a table of runs, and every one of them tried."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from scaling_laws.data.runs import Runs
from scaling_laws.errors import FitError, ScalingLawError
from scaling_laws.inference.trials import NO_LAW, Cuts, Trial, make_cuts, run_trial
from scaling_laws.laws.family import LawFamily
from scaling_laws.laws.registry import get_law, list_laws
from scaling_laws.quantities import is_cost
from scaling_laws.solving.setup import bind_family

if TYPE_CHECKING:
    from scaling_laws.fitting.selector import Selector

_ROWS_A_COEFFICIENT = 4  # fewer, and forms of many coefficients that fit anything do not compete
_COSTS_OF_ONE = (NO_LAW, "power", "product_with_overhead")  # of what grows with scale
_COSTS_OF_MORE = ("product", "product_with_overhead", "translog")
_DECADE = 10.0  # beyond the runs, where a cost is to be known to a factor e
_REACH = 100.0  # times the largest run: as far as predictions are asked for


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


def well_fed(families: Sequence[LawFamily], rows: int) -> tuple[LawFamily, ...]:
    """Leave out forms for any inputs that have too many coefficients for so many rows."""
    fed = [
        f for f in families if f.build is None or rows >= _ROWS_A_COEFFICIENT * len(f.coefficients)
    ]
    return tuple(fed or families)


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
