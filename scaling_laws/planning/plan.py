"""The answer to a planning question."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_laws.data.frozen import Frozen
from scaling_laws.errors import Note

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 6
_DERIVED = ("tokens_per_param", "epochs", "device_hours")


@dataclass(frozen=True, eq=False)
class Plan(Frozen):
    """What to train, how sure that is, and what to be careful about.

    Scalars in, floats out; arrays in, arrays out. When nothing answers a scalar question
    (``feasible`` is False) the mappings are empty; in arrays the rows where ``feasible`` is False
    hold NaN. ``limit`` then says what can be reached.

    Parameters
    ----------
    question : str
        Name of the planner's method.
    target : str
        Name of the predicted quantity.
    given : mapping
        What was asked for, by quantity.
    feasible : bool or ndarray of bool
        Whether the question has an answer.
    best : mapping
        The recommendation by the point law: ``params`` [count], ``tokens`` [count], ``flops``
        [FLOP], the target, ``tokens_per_param``; for a law of one input, that input and the
        target.
    low, high : mapping
        Ends of the central interval, same keys. Quantities solved for: quantiles of every draw's
        own answer (infinite where that many draws have none); each draw knows its law, so they are
        those of plans without ``confidence``, and a plan with it may lie outside. The target: the
        source's interval for one run of the plan. Empty when the source is a bare law.
    near_optimal : mapping
        ``params`` and ``tokens``: smallest and largest value among all plans that reach the same
        target with at most ``tolerance`` more compute. ``<target>_excess``: what that compute is
        worth, in the target's unit, as the gap between the best at the budget and the best at
        ``budget / (1 + tolerance)``. ``tolerance``: the fraction; ``spent``: of what, where it
        is not compute alone. Empty where nothing was optimised, no optimum is inside, or no budget
        binds.
    more : mapping
        Recommendation divided by the largest measured value of that quantity.
    limit : float or ndarray, optional
        Best value of the target the law allows under this question. Only for questions with a
        target; None (NaN in arrays) where the law keeps improving without settling.
    share : float or ndarray, optional
        Share of draws that can answer the question; None for a bare law.
    binding : tuple of str
        Quantities given by the caller whose relaxation would improve the answer.
    prices : mapping
        Shadow prices, by binding limit: what relaxing it by 1 % gains, in the unit of the target,
        or as a fraction of what is spent where a target was asked for. Only under limits.
    nearest : mapping
        The plan that misses the limits by least, where none honours them all.
    notes : tuple of Note
        What to be careful about, by code.
    about : mapping
        Provenance: law, cost, level, tolerance.

    Examples
    --------
    >>> from scaling_laws.laws.published import HOFFMANN_2022
    >>> from scaling_laws.planning.planner import Planner
    >>> plan = Planner(HOFFMANN_2022).for_budget(flops=1e21)
    >>> plan.feasible, round(plan.best["loss"], 3), plan.notes
    (True, 2.329, ())
    """

    question: str
    target: str
    given: Mapping[str, Any]
    feasible: Any
    best: Mapping[str, Any] = field(default_factory=dict)
    low: Mapping[str, Any] = field(default_factory=dict)
    high: Mapping[str, Any] = field(default_factory=dict)
    near_optimal: Mapping[str, Any] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)
    limit: Any = None
    share: Any = None
    binding: tuple[str, ...] = ()
    prices: Mapping[str, Any] = field(default_factory=dict)
    nearest: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Plan):
            return NotImplemented
        return all(_same(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))

    def __len__(self) -> int:
        return int(np.size(self.feasible))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping with the fields as keys; NaN and infinity become None.

        Examples
        --------
        >>> import json
        >>> from scaling_laws.laws.published import HOFFMANN_2022
        >>> from scaling_laws.planning.planner import Planner
        >>> data = Planner(HOFFMANN_2022).for_target(1.5).to_dict()
        >>> json.loads(json.dumps(data))["limit"]
        1.69
        """
        return {f.name: _json(getattr(self, f.name)) for f in fields(self)}

    def to_frame(self) -> pd.DataFrame:
        """Return one row per answer: given, feasible, best, ``_low``, ``_high``, near-optimal.

        Quantities the caller gave keep their name where the recommendation repeats them.
        """
        import pandas as pd

        columns: dict[str, Any] = {f"given_{k}": v for k, v in self.given.items()}
        columns |= {"feasible": self.feasible} | dict(self.best)
        columns |= {f"{k}_low": v for k, v in self.low.items()}
        columns |= {f"{k}_high": v for k, v in self.high.items()}
        for name, value in self.near_optimal.items():
            if isinstance(value, tuple):
                columns |= {f"{name}_near_low": value[0], f"{name}_near_high": value[1]}
        columns |= {f"{k}_more": v for k, v in self.more.items()}
        if self.share is not None:
            columns["share"] = self.share
        return pd.DataFrame({k: np.broadcast_to(v, len(self)) for k, v in columns.items()})

    def summary(self) -> str:
        """Return the answer as a sentence, and what it assumes as another.

        Examples
        --------
        >>> from scaling_laws.laws.published import HOFFMANN_2022
        >>> from scaling_laws.planning.planner import Planner
        >>> print(Planner(HOFFMANN_2022).for_budget(flops=1e21).summary())
        For flops 1e+21: params 1.82e+09, tokens 9.14e+10; loss 2.33. Assumes the law of Hoffmann \
et al. 2022 (rounded) and a cost of 6ND.
        """
        given = ", ".join(f"{n} {_short(v, '.3g')}" for n, v in self.given.items())
        assumed = [f"the law of {self.about.get('name')}", f"a cost of {self.about.get('cost')}"]
        assumed += [f"{n} {v:.3g}" for n, v in self.about.get("fixed", {}).items()]
        assumed += [self.about["hardware"]] if "hardware" in self.about else []
        last = f"Assumes {', '.join(assumed[:-1])} and {assumed[-1]}."
        if np.ndim(self.feasible):
            return f"For {given}: {int(np.sum(self.feasible))} of {len(self)} have a plan. {last}"
        if not self.feasible:
            why = next((n.message for n in self.notes if n.severity != "info"), "no plan")
            return f"For {given or 'these limits'}: {why.rstrip('.')}. {last}"
        shown = [n for n in self.best if n not in self.given and n != self.target]
        said = ", ".join(f"{n} {self.best[n]:.3g}" for n in shown if n not in _DERIVED)
        worth = f"{self.target} {self.best[self.target]:.3g}"
        if self.low and np.isfinite(self.low[self.target]):
            low, high = self.low[self.target], self.high[self.target]
            worth += f" ({100 * self.about['level']:g} % of runs: {low:.3g} to {high:.3g})"
        return f"For {given or 'these limits'}: {said}; {worth}. {last}"

    def __str__(self) -> str:
        head = f"{self.question}({', '.join(f'{k}={_short(v)}' for k, v in self.given.items())})"
        about = f", {self.about.get('name')}" if self.about.get("name") else ""
        lines = [head + about]
        lines += ["  ".join(row).rstrip() for row in _aligned(list(self._rows()))]
        if not np.any(self.feasible):
            lines.append("no plan reaches this")
        if self.prices and not np.ndim(self.feasible):
            worth = ", ".join(f"{n} {v:.3g}" for n, v in self.prices.items())
            lines.append(f"binding; 1% more is worth: {worth}")
        if self.share is not None:
            lines.append(f"share of draws with an answer: {_short(self.share, '.2f')}")
        return "\n".join([*lines, *(str(note) for note in self.notes)])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        """Table for notebooks."""
        first, *lines = str(self).split("\n")
        rows = list(self._rows())
        table = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in rows
        )
        rest = "".join(f"<p>{html.escape(line)}</p>" for line in lines[len(rows) :])
        return f"<p><b>{html.escape(first)}</b></p><table>{table}</table>{rest}"

    def _rows(self) -> Iterator[tuple[str, ...]]:
        """Cells of the table of results, a header first; none where there is nothing to show."""
        if not self.best:
            return
        if np.ndim(self.feasible):
            shown = _some(len(self))
            yield ("row", *self.best)
            for i in shown:
                cells = (np.broadcast_to(v, len(self))[i] for v in self.best.values())
                yield (str(i), *(f"{c:.4g}" for c in cells))
            return
        level = f"{100 * self.about['level']:g}% interval" if self.low else ""
        if level and "confidence" in self.about:
            level += f" without confidence={self.about['confidence']:g}"
        near = ""
        if self.near_optimal:
            what = self.near_optimal.get("spent", "flops").replace("flops", "compute")
            near = f"within {100 * self.near_optimal['tolerance']:g}% more {what}"
        yield ("", "best", level, near)
        for name, value in self.best.items():
            interval = ""
            if self.low and self.low[name] != self.high[name]:
                interval = f"{self.low[name]:.4g} to {self.high[name]:.4g}"
            span = self.near_optimal.get(name)
            yield (
                name,
                f"{value:.4g}",
                interval,
                f"{span[0]:.3g} to {span[1]:.3g}" if span else "",
            )


def _aligned(rows: list[tuple[str, ...]]) -> list[list[str]]:
    """Cells padded to their column's width, columns without any text left out."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [[c.ljust(w) for c, w in zip(row, widths, strict=True) if w] for row in rows]


def _some(n: int) -> list[int]:
    if n <= _SHOWN:
        return list(range(n))
    return [*range(_SHOWN // 2), *range(n - _SHOWN // 2, n)]


def _short(value: Any, spec: str = ".4g") -> str:
    if np.ndim(value):
        return f"[{value[0]:{spec}} ... {value[-1]:{spec}}; {len(value)}]"
    return f"{value:{spec}}"


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, np.ndarray | float) and isinstance(b, np.ndarray | float):
        return bool(np.array_equal(a, b, equal_nan=True))
    return bool(a == b)


def _json(value: Any) -> Any:
    if isinstance(value, Note):
        return _json(value.to_dict())
    if isinstance(value, Mapping):
        return {str(k): _json(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _json(value.tolist())
    if isinstance(value, tuple | list):
        return [_json(v) for v in value]
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value
