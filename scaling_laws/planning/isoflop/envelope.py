"""Approach 1: the run with the least loss at every compute, along training curves."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling_laws.data.frozen import Frozen
from scaling_laws.errors import Note, PlanError
from scaling_laws.laws.family import Array
from scaling_laws.planning.checks import asked
from scaling_laws.planning.isoflop.columns import as_table, run_columns

if TYPE_CHECKING:
    import pandas as pd

_FEWEST_POINTS = 3  # of a curve, for it to be read between them
_SMOOTH = 0.15  # in ln compute, standard deviation of the smoothing kernel
_GRID = 0.05  # in ln compute, steps that smoothed curves are held on


@dataclass(frozen=True, eq=False)
class Envelope(Frozen):
    """Least loss over training curves and the power law through it; made by `fit_envelope`.

    Parameters
    ----------
    table : DataFrame
        One row a compute: ``flops`` [FLOP], ``params``, ``tokens`` [count], ``loss``, ``run``.
    params_exponent, tokens_exponent : float
        Exponents in N* and D* proportional to C^a and C^b.
    centre, level : float and ndarray (2,)
        The lines pass through ``level`` (ln N, ln D) at ln C = ``centre``.
    notes : tuple of Note

    Examples
    --------
    >>> import pandas as pd
    >>> params = np.repeat([1e7, 2e7, 4e7, 8e7, 1.6e8], 40)
    >>> tokens = params * np.tile(np.geomspace(2, 200, 40), 5)
    >>> curves = pd.DataFrame({"run": params, "params": params, "tokens": tokens})
    >>> curves["loss"] = 1.7 + 400 * params**-0.34 + 1100 * tokens**-0.34
    >>> round(fit_envelope(curves).params_exponent, 2)
    0.5
    """

    table: pd.DataFrame
    params_exponent: float
    tokens_exponent: float
    centre: float
    level: Array
    notes: tuple[Note, ...]

    def predict(self, flops: ArrayLike) -> pd.DataFrame:
        """Compute-optimal ``params`` and ``tokens`` at budgets [FLOP], by the power law.

        Raises
        ------
        PlanError
            A budget is not a positive number.
        """
        import pandas as pd

        budgets = np.atleast_1d(asked("Envelope.predict", {"flops": flops}, {}).rows["flops"])
        off = np.log(budgets) - self.centre
        params = np.exp(self.level[0] + self.params_exponent * off)
        tokens = np.exp(self.level[1] + self.tokens_exponent * off)
        return pd.DataFrame({"flops": budgets, "params": params, "tokens": tokens})


def fit_envelope(
    curves: Any,
    *,
    run: str = "run",
    columns: Mapping[str, str] | None = None,
    points: int = 1500,
    annealed: bool = False,
) -> Envelope:
    """Find the run of least smoothed loss at many computes, and fit N* and D* to compute.

    Parameters
    ----------
    curves : DataFrame or mapping of columns
        Checkpoints: a column that names the run, ``params`` [count], ``tokens`` [count], ``loss``,
        perhaps ``flops`` [FLOP] (6 N D otherwise).
    run : str, default "run"
        Column that names the run.
    columns : mapping of str to str, optional
        The library's names to the table's.
    points : int, default 1500
        Computes, evenly spaced in logarithm over what at least two runs reach.
    annealed : bool, default False
        Whether every checkpoint's learning rate had been decayed for it. If not, losses in
        mid-run are too high, and a note says so.

    Returns
    -------
    Envelope

    Raises
    ------
    PlanError
        The table cannot be used; fewer than three sizes are ever best.

    Notes
    -----
    Smoothing is a Gaussian kernel along ln compute, 0.15 wide, with a local line, so that ends are
    not drawn inwards. Each size counts once, at the middle of the computes where it is best: a line
    through the staircase itself is too flat, by 1 / k^2 for k even steps. The least of several
    noisy curves is less than the best one's mean (winner's curse), and computes next to each other
    share their noise: no interval is given.

    References
    ----------
    Hoffmann et al. (2022), arXiv:2203.15556, sec. 3.1.

    Examples
    --------
    >>> params = np.repeat([1e7, 2e7, 4e7, 8e7, 1.6e8], 40)
    >>> tokens = params * np.tile(np.geomspace(2, 200, 40), 5)
    >>> loss = 1.7 + 400 * params**-0.34 + 1100 * tokens**-0.34
    >>> curves = {"run": params, "params": params, "tokens": tokens, "loss": loss}
    >>> [note.code for note in fit_envelope(curves).notes]
    ['winners_curse', 'undecayed_schedule']
    """
    import pandas as pd

    whole = isinstance(points, int | np.integer) and not isinstance(points, bool)
    if not whole or points < 10:
        raise PlanError(f"fit_envelope: points must be 10 or more, got {points!r}.")
    frame = as_table("fit_envelope", curves)
    if run not in frame.columns:
        raise PlanError(
            f"fit_envelope needs a column '{run}' that names the run of every checkpoint. Found: "
            f"{', '.join(map(str, frame.columns))}. Say which with run=."
        )
    data, rows = run_columns("fit_envelope", frame, ("params", "tokens", "loss", "flops"), columns)
    log = {n: np.log(v) for n, v in data.items()}
    names = frame[run].to_numpy()[rows]
    smooth = _smoothed(log, names)
    if len(smooth) < 2:
        raise PlanError(
            f"fit_envelope: {len(smooth)} run has {_FEWEST_POINTS} checkpoints or more; the "
            "envelope needs two. Fit a law to final losses instead."
        )
    ends = np.sort([[c[0], c[-1]] for c, _, _, _ in smooth.values()], axis=0)
    grid = np.linspace(ends[1, 0], ends[-2, 1], int(points))
    best, least, log_d, inner = _least(grid, smooth)
    log_n = np.array([smooth[k][3] for k in best])
    if len(np.unique(log_n[inner])) < 3:
        raise PlanError(
            f"fit_envelope: {len(np.unique(log_n[inner]))} sizes are best at some compute between "
            "a smaller and a larger size; a power law needs three. Add sizes, or train longer."
        )
    x = grid[inner]
    steps = [_steps(log_n[inner], v[inner]) for v in (grid, log_n, log_d)]
    centre = float(steps[0].mean())
    slopes = [np.polyfit(steps[0] - centre, v, 1) for v in steps[1:]]
    table = pd.DataFrame(
        {"flops": np.exp(x), "params": np.exp(log_n[inner]), "tokens": np.exp(log_d[inner]),
         "loss": np.exp(least[inner]), "run": [best[i] for i in np.flatnonzero(inner)]}
    )  # fmt: skip
    return Envelope(
        table=table,
        params_exponent=float(slopes[0][0]),
        tokens_exponent=float(slopes[1][0]),
        centre=centre,
        level=np.array([slopes[0][1], slopes[1][1]]),
        notes=_notes(log, names, smooth, annealed),
    )


Curve = tuple[Array, Array, Array, float]


def _smoothed(log: Mapping[str, Array], names: NDArray[Any]) -> dict[Hashable, Curve]:
    """Curve of every run: ln compute, smoothed ln loss, ln tokens there, and ln size."""
    out: dict[Hashable, Curve] = {}
    for name in dict.fromkeys(names.tolist()):
        part = np.flatnonzero(names == name)
        part = part[np.argsort(log["flops"][part], kind="stable")]
        c, y, d = (log[n][part] for n in ("flops", "loss", "tokens"))
        if len(np.unique(c)) < _FEWEST_POINTS:
            continue
        if np.ptp(log["params"][part]) > 1e-6:
            raise PlanError(f"fit_envelope: run {name!r} has several sizes. Name runs apart.")
        grid = np.arange(c[0], c[-1] + _GRID, _GRID).clip(max=c[-1])
        out[name] = (
            grid,
            _local_line(grid, c, y),
            np.interp(grid, c, d),
            float(log["params"][part][0]),
        )
    return out


def _local_line(grid: Array, x: Array, y: Array) -> Array:
    """Kernel-weighted straight line at every point of the grid, interpolation where it is bare."""
    off = x - grid[:, None]
    w = np.exp(-0.5 * (off / _SMOOTH) ** 2)
    s0, s1, s2 = (np.sum(w * off**k, axis=1) for k in range(3))
    t0, t1 = (np.sum(w * off**k * y, axis=1) for k in range(2))
    spread = s0 * s2 - s1**2
    with np.errstate(all="ignore"):
        line = (s2 * t0 - s1 * t1) / spread
    bare = ~np.isfinite(line) | (spread <= 1e-6 * np.maximum(s0, 1e-300) ** 2 * _SMOOTH**2)
    return np.asarray(np.where(bare, np.interp(grid, x, y), line))


def _least(
    grid: Array, smooth: Mapping[Hashable, Curve]
) -> tuple[list[Hashable], Array, Array, NDArray[np.bool_]]:
    """Best run, its loss and tokens at every compute; and where larger and smaller runs compete."""
    names = list(smooth)
    losses = np.full((len(names), len(grid)), np.inf)
    tokens = np.zeros_like(losses)
    for i, (c, y, d, _) in enumerate(smooth.values()):
        known = (grid >= c[0]) & (grid <= c[-1])
        losses[i, known] = np.interp(grid[known], c, y)
        tokens[i] = np.interp(grid, c, d)
    at = losses.argmin(axis=0)
    size = np.array([curve[3] for curve in smooth.values()])
    known = np.isfinite(losses)
    largest = np.where(known, size[:, None], -np.inf).max(axis=0)
    smallest = np.where(known, size[:, None], np.inf).min(axis=0)
    inner = (size[at] < largest) & (size[at] > smallest)
    columns = np.arange(len(grid))
    return [names[i] for i in at], losses[at, columns], tokens[at, columns], inner


def _steps(log_n: Array, values: Array) -> Array:
    """Mean of the values over the computes at which each size is best."""
    return np.array([values[log_n == size].mean() for size in np.unique(log_n)])


def _notes(
    log: Mapping[str, Array],
    names: NDArray[Any],
    smooth: Mapping[Hashable, Curve],
    annealed: bool,
) -> tuple[Note, ...]:
    rough = []
    for name, (c, y, _, _) in smooth.items():
        part = names == name
        rough.append(log["loss"][part] - np.interp(log["flops"][part], c, y))
    noise = float(np.std(np.concatenate(rough)))
    notes = [
        Note(
            "winners_curse",
            "info",
            "the least of several noisy curves is lucky: losses of the envelope are too low, and "
            f"sizes with more noise are chosen more often (checkpoints scatter by {noise:.2%}). "
            "Plan from a fitted law; use this as a check.",
            {"noise": noise, "runs": len(smooth)},
        )
    ]
    if not annealed:
        notes.append(
            Note(
                "undecayed_schedule",
                "warning",
                "checkpoints before the end of a schedule have a higher loss than a run of that "
                "length would: tokens of the optimum come out too large or too small. Use "
                "cooled-down checkpoints (annealed=True), or final losses.",
            )
        )
    return tuple(notes)
