"""Checked rows of a table of runs, and what can be doubted about their design."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scaling_laws.data.frozen import Frozen
from scaling_laws.data.read_report import ReadReport
from scaling_laws.errors import DataError, Note, suggest

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

_COLLINEAR = 0.9999  # correlation of two inputs (in logs where positive)


@dataclass(frozen=True, eq=False)
class Runs(Frozen):
    """Checked rows of a table, in an order that does not depend on the table's.

    Parameters
    ----------
    inputs : tuple of str
    target : str
    x : tuple of ndarray, each (n,)
        Inputs, raw counts.
    y : ndarray (n,)
        Target.
    weights : ndarray (n,)
    clusters : ndarray of uint64 (n,)
        Label of the cluster of each row: rows of one cluster are resampled together.
    index : tuple
        The rows' labels in the user's table.
    flops : ndarray (n,) or None
        Training compute, where it can be told.
    notes : tuple of Note
        What was dropped, derived or suspicious.
    groups : tuple, optional
        Label of the group of each row, where runs are fitted in groups.
    read_report : ReadReport, optional
        How the table came about, where `read_runs` or `clean` made it.
    """

    inputs: tuple[str, ...]
    target: str
    x: tuple[Array, ...]
    y: Array
    weights: Array
    clusters: NDArray[np.uint64]
    index: tuple[Hashable, ...]
    flops: Array | None
    notes: tuple[Note, ...]
    groups: tuple[Hashable, ...] | None = None
    read_report: ReadReport | None = None

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: NDArray[Any]) -> Runs:
        """Return the chosen rows (boolean mask or positions)."""
        positions = np.arange(len(self))[rows]
        return replace(
            self,
            x=tuple(v[positions] for v in self.x),
            y=self.y[positions],
            weights=self.weights[positions],
            clusters=self.clusters[positions],
            index=tuple(self.index[i] for i in positions),
            flops=None if self.flops is None else self.flops[positions],
            groups=None if self.groups is None else tuple(self.groups[i] for i in positions),
        )

    def column(self, name: str) -> Array:
        """Return an input, the target, or ``flops`` by name."""
        if name in self.inputs:
            return self.x[self.inputs.index(name)]
        if name == "flops" and self.flops is not None:
            return self.flops
        if name == self.target:
            return self.y
        have = [*self.inputs, self.target, *(["flops"] if self.flops is not None else [])]
        raise DataError(f"no column '{name}' among the fitted ones.{suggest(name, have)} It has "
                        f"{', '.join(have)}.")  # fmt: skip

    def compute(self) -> Array:
        """Scale of each run: its FLOPs where known, else the product of its positive inputs."""
        if self.flops is not None:
            return self.flops
        out: Array = np.ones(len(self))
        for v in self.x:
            if (v > 0).all():
                out = out * v
        return out

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Smallest and largest measured value of every input, and of ``flops`` where known."""
        named = dict(zip(self.inputs, self.x, strict=True))
        if self.flops is not None:
            named["flops"] = self.flops
        return {n: (float(v.min()), float(v.max())) for n, v in named.items()}

    def digest(self) -> str:
        """Hexadecimal digest of the numbers, independent of the table's row order."""
        h = blake2b(digest_size=16)
        for v in (*self.x, self.y, self.weights):
            h.update(np.ascontiguousarray(v).tobytes())
        return h.hexdigest()

    def to_frame(self) -> pd.DataFrame:
        """Return the rows as a table in the user's row labels."""
        import pandas as pd

        columns: dict[str, Any] = dict(zip(self.inputs, self.x, strict=True))
        if self.flops is not None and "flops" not in columns:
            columns["flops"] = self.flops
        columns[self.target] = self.y
        columns["weight"] = self.weights
        columns["cluster"] = self.clusters
        labels = pd.Index(list(self.index), name="row", tupleize_cols=False)
        return pd.DataFrame(columns, index=labels)


def design_notes(runs: Runs) -> tuple[Note, ...]:
    """Notes on inputs that do not vary, or vary only together."""
    logs = {}
    notes = []
    for name, v in zip(runs.inputs, runs.x, strict=True):
        z = np.log(v) if (v > 0).all() else v
        if np.ptp(z) <= 1e-9 * max(1.0, float(np.abs(z).max())):
            notes.append(
                Note(
                    "constant_input",
                    "warning",
                    f"'{name}' has the single value {v[0]:g}: nothing can be learned about it",
                    {"input": name},
                )
            )
        else:
            logs[name] = (z - z.mean()) / z.std()
    names = list(logs)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            r = float(np.mean(logs[a] * logs[b]))
            if abs(r) > _COLLINEAR:
                notes.append(
                    Note(
                        "collinear",
                        "warning",
                        f"'{a}' and '{b}' vary only together (correlation {r:.6f}): their effects "
                        "cannot be told apart. Add runs that vary their ratio, or tie coefficients",
                        {"inputs": [a, b], "correlation": r},
                    )
                )
    return tuple(notes)
