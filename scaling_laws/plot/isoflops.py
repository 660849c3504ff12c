"""IsoFLOP studies and envelopes: the optima of every budget, and the runs they come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scaling_laws.planning.isoflop.columns import run_columns
from scaling_laws.planning.isoflop.input import read_runs
from scaling_laws.plot import style
from scaling_laws.quantities import quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scaling_laws.planning.isoflop.analysis import IsoFLOP
    from scaling_laws.planning.isoflop.envelope import Envelope

_POINTS = 60


def isoflop(
    found: IsoFLOP,
    runs: Any,
    *,
    columns: Mapping[str, str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw loss against model size for every budget: runs, parabolas, minima with intervals.

    Parameters
    ----------
    found : IsoFLOP
        From `scaling_laws.fit_isoflop`.
    runs : DataFrame or mapping of columns
        The same table of runs.
    columns : mapping of str to str, optional
        As `scaling_laws.fit_isoflop`.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes
        Rings are runs too far from the minimum to count. Where the parabolas' bias was taken off,
        the minimum stands beside its parabola's lowest point.

    Raises
    ------
    PlanError
        The table cannot be used.

    Examples
    --------
    >>> import matplotlib.pyplot as plt, scaling_laws as sl
    >>> law = sl.published.HOFFMANN_2022
    >>> runs = sl.isoflop_grid([1e18, 1e19, 1e20], law=law)
    >>> runs["loss"] = law(params=runs.params, tokens=runs.tokens)
    >>> ax = sl.plot.isoflop(sl.fit_isoflop(runs, draws=100), runs)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('model parameters [count]', 'test loss [nats]')
    >>> plt.close(ax.figure)
    """
    table = isoflop_table(found, runs, columns=columns)
    ax = style.get_axes(ax)
    cmap, norm = style.colours("flops", found.table["flops"].to_numpy(dtype=float))
    parts = {str(name): rows for name, rows in table.groupby("part")}
    used = parts["run"]
    dots = style.scatter(
        ax, used["params"].to_numpy(), used["loss"].to_numpy(), c=used["flops"].to_numpy(),
        cmap=cmap, norm=norm,
    )  # fmt: skip
    if "unused run" in parts:
        rest = parts["unused run"]
        edge = cmap(norm(rest["flops"].to_numpy(dtype=float)))
        ax.scatter(rest["params"], rest["loss"], s=12, facecolors="none", edgecolors=edge, lw=0.7)
    for _, rows in parts["parabola"].groupby("flops"):
        ax.plot(
            rows["params"], rows["loss"], color=cmap(norm(rows["flops"].iloc[0])), lw=1.2, zorder=2
        )
    best = parts["minimum"]
    known = best["params_low"].notna()
    ax.hlines(
        best["loss"][known], best["params_low"][known], best["params_high"][known],
        color=style.VERMILION, lw=1.4, zorder=4,
    )  # fmt: skip
    ax.plot(
        best["params"], best["loss"], "*", color=style.VERMILION, mec="white", mew=0.5, ms=10,
        zorder=5, label=rf"minimum, $N^* \propto C^{{{found.params_exponent:.2f}}}$",
    )  # fmt: skip
    style.set_axis(ax, "x", quantity("params").label, log=True)
    style.set_axis(ax, "y", quantity("loss").label, log=found.residual == "log")
    style.legend_above(ax)
    style.colour_bar(ax, dots, "flops")
    return ax


def isoflop_table(
    found: IsoFLOP, runs: Any, *, columns: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Return what `isoflop` draws.

    Parameters
    ----------
    found, runs, columns
        As the figure.

    Returns
    -------
    DataFrame
        ``part`` (``"run"``, ``"unused run"``, ``"parabola"`` or ``"minimum"``), ``flops`` of the
        budget [FLOP], ``params`` [count] with ``_low`` and ``_high`` at minima, and ``loss``.

    Raises
    ------
    PlanError
        As the figure.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> law = sl.published.HOFFMANN_2022
    >>> runs = sl.isoflop_grid([1e18, 1e19, 1e20], law=law)
    >>> runs["loss"] = law(params=runs.params, tokens=runs.tokens)
    >>> table = sl.plot.isoflop_table(sl.fit_isoflop(runs, draws=0), runs)
    >>> int((table.part == "minimum").sum())
    3
    """
    data, rows = read_runs("isoflop", runs, columns, None)
    budgets = found.table["flops"].to_numpy(dtype=float)
    own = np.abs(np.log(data["flops"])[:, None] - np.log(budgets)).argmin(axis=1)
    part = np.where(np.isin(rows, found.used), "run", "unused run")
    parts = [
        pd.DataFrame(
            {"part": part, "flops": budgets[own], "params": data["params"], "loss": data["loss"]}
        )
    ]
    for i, row in enumerate(found.table.to_dict("records")):
        sizes = data["params"][(own == i) & (part == "run")]
        if row["inside"] and len(sizes):
            parts.append(_parabola(row, sizes.min(), sizes.max(), found))
    best = found.table[found.table["inside"]].assign(part="minimum")
    names = ["part", "flops", "params", "params_low", "params_high", "loss"]
    filled = [p.reindex(columns=names).astype(dict.fromkeys(names[1:], float)) for p in parts]
    return pd.concat([*filled, best[names].astype(dict.fromkeys(names[1:], float))],
                     ignore_index=True)  # fmt: skip


def _parabola(row: Mapping[Any, Any], low: float, high: float, found: IsoFLOP) -> pd.DataFrame:
    """Return one budget's parabola over the sizes it went through."""
    bias = row["bias"] if found.corrected else 0.0
    u = np.linspace(np.log(low), np.log(high), _POINTS)
    log = found.residual == "log"
    least = np.log(row["loss"]) if log else row["loss"]
    y = least + row["curvature"] * (u - np.log(row["params"]) - bias) ** 2
    return pd.DataFrame(
        {"part": "parabola", "flops": row["flops"], "params": np.exp(u),
         "loss": np.exp(y) if log else y}
    )  # fmt: skip


def envelope(
    found: Envelope,
    curves: Any,
    *,
    run: str = "run",
    columns: Mapping[str, str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw training curves against compute, and the lower envelope that the optima come from.

    Parameters
    ----------
    found : Envelope
        From `scaling_laws.fit_envelope`.
    curves : DataFrame or mapping of columns
        The same table of checkpoints.
    run, columns
        As `scaling_laws.fit_envelope`.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    PlanError
        The table cannot be used.

    Examples
    --------
    >>> import matplotlib.pyplot as plt, numpy as np, scaling_laws as sl
    >>> params = np.repeat([1e7, 2e7, 4e7, 8e7, 1.6e8], 40)
    >>> tokens = params * np.tile(np.geomspace(2, 200, 40), 5)
    >>> loss = 1.7 + 400 * params**-0.34 + 1100 * tokens**-0.34
    >>> curves = {"run": params, "params": params, "tokens": tokens, "loss": loss}
    >>> ax = sl.plot.envelope(sl.fit_envelope(curves), curves)
    >>> ax.get_xlabel()
    'training compute [FLOP]'
    >>> plt.close(ax.figure)
    """
    table = envelope_table(found, curves, run=run, columns=columns)
    ax = style.get_axes(ax)
    drawn = table[table["part"] == "curve"]
    cmap, norm = style.colours("params", drawn["params"].to_numpy(dtype=float))
    for _, rows in drawn.groupby("run", sort=False):
        ax.plot(rows["flops"], rows["loss"], color=cmap(norm(rows["params"].iloc[0])), lw=0.9)
    best = table[table["part"] == "envelope"]
    ax.plot(
        best["flops"], best["loss"], color=style.VERMILION, lw=1.8, zorder=3,
        label=rf"least of all, $N^* \propto C^{{{found.params_exponent:.2f}}}$",
    )  # fmt: skip
    style.set_axis(ax, "x", quantity("flops").label, log=True)
    style.set_axis(ax, "y", quantity("loss").label, log=True)
    style.legend_above(ax)
    from matplotlib.cm import ScalarMappable

    style.colour_bar(ax, ScalarMappable(norm, cmap), "params")
    return ax


def envelope_table(
    found: Envelope, curves: Any, *, run: str = "run", columns: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Return what `envelope` draws.

    Parameters
    ----------
    found, curves, run, columns
        As the figure.

    Returns
    -------
    DataFrame
        ``part`` (``"curve"`` or ``"envelope"``), ``run``, ``flops`` [FLOP], ``params`` [count]
        and ``loss``.

    Raises
    ------
    PlanError
        As the figure.

    Examples
    --------
    >>> import numpy as np, scaling_laws as sl
    >>> params = np.repeat([1e7, 2e7, 4e7, 8e7, 1.6e8], 40)
    >>> tokens = params * np.tile(np.geomspace(2, 200, 40), 5)
    >>> loss = 1.7 + 400 * params**-0.34 + 1100 * tokens**-0.34
    >>> curves = {"run": params, "params": params, "tokens": tokens, "loss": loss}
    >>> sl.plot.envelope_table(sl.fit_envelope(curves), curves).part.unique().tolist()
    ['curve', 'envelope']
    """
    frame = pd.DataFrame(curves)
    data, rows = run_columns("envelope", frame, ("params", "tokens", "loss", "flops"), columns)
    names = ["part", "run", "flops", "params", "loss"]
    drawn = pd.DataFrame({n: data[n] for n in names[2:]})
    drawn["run"] = frame[run].to_numpy()[rows]
    drawn = drawn.sort_values("flops", kind="stable").assign(part="curve")
    best = found.table.assign(part="envelope")
    return pd.concat([drawn[names], best[names]], ignore_index=True)
