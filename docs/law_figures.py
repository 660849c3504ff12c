"""The shape of each registered law, drawn at its example coefficients."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from law_pages import notes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

import scaling_laws as sl
from scaling_laws.quantities import quantity
from scaling_laws.testing import _TYPICAL

SPANS = _TYPICAL | {"samples": (1e1, 1e6), "steps": (1e2, 1e5), "proportion": (0.02, 1.0)}
SPANS |= {"teacher_loss": (1.5, 4.0), "precision_bits": (2.0, 8.0), "weight_bits": (2.0, 8.0)}
COLOURS = ("#440154", "#287C8E", "#E08214")
DASHES = ("-", (0, (6, 2)), (0, (2, 1.5)))
POINTS = 160


def png(name: str) -> bytes:
    """Return the figure of a law as a PNG; the same bytes every time."""
    file = BytesIO()
    FigureCanvasAgg(figure(name)).print_png(file, metadata={"Software": None})
    return file.getvalue()


def figure(name: str) -> Figure:
    """Draw a law along one input, with a curve for each of three values of another."""
    law = sl.get_law(name)
    across, other = axes_of(name)
    drawn = Figure(figsize=(5.2, 3.1), dpi=100)
    ax = drawn.add_axes((0.13, 0.16, 0.84, 0.81))  # a layout engine takes most of the time
    fractions = law.input_domain == "fraction"
    x = np.linspace(0.02, 0.98, POINTS) if fractions else _values(across, POINTS)
    drawn_values = []
    for value, colour, dash in zip(_levels(other, fractions), COLOURS, DASHES, strict=False):
        inputs = _shares(law, x, value) if fractions else _inputs(law, across, x, other, value)
        y = law.with_coef(law.example)(**inputs)
        ax.plot(x, y, color=colour, ls=dash, lw=1.6, label=_label(other, value, fractions))
        drawn_values.append(y)
    if not fractions and _is_wide(x[0], x[-1]):
        ax.set_xscale("log")
        ax.xaxis.set_minor_formatter(NullFormatter())
    _scale_y(ax, np.min(drawn_values), np.max(drawn_values))
    ax.set_xlabel(quantity(across).label, fontsize=9)
    ax.set_ylabel("prediction", fontsize=9)
    ax.tick_params(labelsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    if other:
        ax.legend(fontsize=8, frameon=False)
    return drawn


def _scale_y(ax, lowest: float, highest: float) -> None:
    """Logarithmic where values span a factor of four, five decades at most."""
    if not (lowest > 0 and highest > 4 * lowest):
        return
    ax.set_yscale("log")
    if lowest < 1e-5 * highest:
        ax.set_ylim(1e-5 * highest, 2 * highest)
    if highest < 100 * lowest:
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    ax.yaxis.set_minor_formatter(NullFormatter())


def _is_wide(low: float, high: float) -> bool:
    return low > 0 and high >= 99 * low


def axes_of(name: str) -> tuple[str, str]:
    """Return the input drawn across, and the one that has three curves ("" where there is one)."""
    across, other, *_ = notes()[name].get("plot", (*sl.get_law(name).inputs, ""))
    return across, other


def _values(name: str, count: int) -> np.ndarray:
    """Values over the usual span: evenly in the logarithm where that spans much, else evenly."""
    low, high = SPANS.get(name, (1.0, 100.0))
    return (np.geomspace if _is_wide(low, high) else np.linspace)(low, high, count)


def _levels(other: str, fractions: bool) -> np.ndarray:
    if not other:
        return np.array([np.nan])
    if fractions:
        return np.array([0.1, 0.5, 0.9])
    low, high = SPANS.get(other, (1.0, 100.0))
    if high < 4 * low:  # years
        return np.linspace(low, high, 3)
    return np.array([float(f"{v:.1e}") for v in np.geomspace(low, high, 3)])


def _inputs(law, across, x, other, value) -> dict:
    middle = {n: _values(n, 3)[1] for n in law.inputs}
    return middle | {across: x} | ({other: value} if other else {})


def _shares(law, x, value) -> dict:
    """Proportions that sum to one: the second takes ``value`` of what the first leaves."""
    first, second, *rest = law.inputs
    left = (1 - x) * (1 - value) / len(rest)
    return {first: x, second: (1 - x) * value} | dict.fromkeys(rest, left)


def _label(other: str, value: float, fractions: bool) -> str:
    if fractions:
        return f"{other} = {value:.0%} of the rest"
    words = other.replace("_", " ")
    shown = f"{value:.4g}" if value < 1e4 else f"{value:.2g}"
    return f"{words} = {shown}"
