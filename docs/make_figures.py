"""Draw the figures of README, gallery and tutorial: ``python docs/make_figures.py [name ...]``.

Pictures of the gallery and the tutorial are made by the lines that stand above them on the page.
"""

from __future__ import annotations

import re
import sys
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib as mpl
import numpy as np

mpl.use("Agg")

import matplotlib.pyplot as plt

import scaling_laws as sl

DOCS = Path(__file__).resolve().parent
FIGURES = DOCS / "figures"
BLOCK = re.compile(
    r"^```python\n(.*?)^```$(?:\n\n!\[[^\]]*\]\(figures/(\w+)\.png\))?", re.MULTILINE | re.DOTALL
)
COLUMN = {"figure.figsize": (3.3, 2.6), "font.size": 8, "axes.linewidth": 0.6}
INK, ORANGE, GREY = "#222222", "#D55E00", "#8A8A8A"


def readme() -> None:
    """Left: small runs fitted, large ones predicted. Right: the plan that follows."""
    runs = sl.load_dataset("tiny_lm")
    cut = 0.1 * runs.flops.max()
    small, large = runs[runs.flops <= cut], runs[runs.flops > cut]
    selection = sl.select(small)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 4.0), layout="constrained")
    predictions(left, selection, small, large, cut)
    plan(right, sl.Planner(sl.select(runs)), runs.flops.max())
    save(figure, FIGURES / "readme.png", dpi=160)


def predictions(ax, selection, small, large, cut) -> None:
    colours = mpl.colormaps["viridis"](np.linspace(0.0, 0.85, small.params.nunique()))
    for size, colour in zip(sorted(small.params.unique()), colours, strict=True):
        seen, ahead = small[small.params == size], large[large.params == size]
        tokens = np.geomspace(seen.tokens.min(), 10 * large.tokens.max(), 200)
        flops = 6 * size * tokens
        loss = selection.law(params=np.full(200, size), tokens=tokens)
        known, beyond = flops <= cut, (flops >= cut) & (flops <= 2.5 * large.flops.max())
        ax.plot(flops[known], loss[known], color=colour, lw=1)
        ax.plot(flops[beyond], loss[beyond], color=colour, lw=1, ls=(0, (3, 2)))
        ax.plot(seen.flops, seen.loss, "o", ms=3.5, color=colour, mew=0)
        ax.plot(ahead.flops, ahead.loss, "o", ms=5, mfc="white", mec=ORANGE, mew=1.3, zorder=3)
    ax.axvline(cut, color=GREY, lw=0.8)
    ahead = selection.predict(large[["params", "tokens"]])
    low, high = ahead.loss_low.to_numpy(), ahead.loss_high.to_numpy()
    ax.vlines(large.flops, low, high, color=ORANGE, lw=0.8, alpha=0.5, zorder=2)
    error = np.abs(np.log(ahead.loss.to_numpy() / large.loss.to_numpy())).mean()
    inside = int(((low <= large.loss) & (large.loss <= high)).sum())
    label = f"fitted to {len(small)} small runs, it foretells {len(large)} larger ones"
    ax.set(xscale="log", xlabel="training compute [FLOP]", ylabel="held-out loss [nats/byte]")
    ax.set_title(label, fontsize=10.5, color=INK)
    ax.plot([], [], "o", ms=3.5, color=colours[0], mew=0, label="fitted")
    ax.plot([], [], "o", ms=5, mfc="white", mec=ORANGE, mew=1.3, label="held out")
    ax.plot([], [], color=colours[0], lw=1, ls=(0, (3, 2)), label="predicted")
    ax.plot([], [], color=ORANGE, lw=0.8, alpha=0.5, label="90 % interval")
    ax.legend(fontsize=8.5, loc="upper right", frameon=False)
    edges = ax.get_xlim()
    ax.axvspan(edges[0], cut, color=GREY, alpha=0.12, lw=0, zorder=0)
    ax.set_xlim(edges)
    told = f"{100 * error:.1f} % off on average,\n{inside} of {len(large)} in\ntheir interval"
    ax.text(0.985, 0.7, told, transform=ax.transAxes, fontsize=9, color=ORANGE, ha="right",
            va="top")  # fmt: skip
    low, high = (f"{v:.0f} k" for v in (small.params.min() / 1e3, small.params.max() / 1e3))
    ax.text(0.03, 0.05, f"one line a model size,\n{low} to {high} parameters",
            transform=ax.transAxes, fontsize=8.5, color=INK)  # fmt: skip


def plan(ax, planner, largest) -> None:
    sl.plot.frontier(planner, np.geomspace(largest / 100, 400 * largest, 40), ax=ax)
    ax.get_legend().remove()
    first = planner.for_budget(flops=largest / 30).best
    for name, word in (("tokens", "tokens"), ("params", "parameters")):
        ax.text(largest / 30, 1.7 * first[name], word, fontsize=9, color=INK, rotation=21)
    ax.text(0.02, 0.95, "measured", transform=ax.transAxes, fontsize=9, color=GREY, va="top")
    marked = planner.for_budget(flops=[10 * largest, 100 * largest])
    for name in ("params", "tokens"):
        ax.plot(marked.best["flops"], marked.best[name], "s", color=INK, ms=4, zorder=4)
    for i, (factor, offset) in enumerate(((10, (12, -58)), (100, (-40, 12)))):
        ax.annotate(
            f"{factor}x: {_count(marked.best['params'][i])} parameters\n"
            f"{_count(marked.best['tokens'][i])} tokens\nloss {marked.best['loss'][i]:.2f} "
            f"({marked.low['loss'][i]:.2f} to {marked.high['loss'][i]:.2f})",
            (marked.best["flops"][i], marked.best["params"][i]),
            xytext=offset,
            textcoords="offset points",
            fontsize=8.5,
            ha="center",
            color=INK,
        )
    ax.set_title("what to train at 10x and 100x the compute", fontsize=10, color=INK)
    for axis in (ax.xaxis, ax.yaxis):
        axis.label.set_fontsize(10)
    ax.tick_params(labelsize=10)


def _count(value: float) -> str:
    return f"{value / 1e6:.2g} M" if value < 1e8 else f"{value / 1e6:.0f} M"


def pictures(page: str, names: list[str]) -> None:
    """Run the lines of a page in order and save the named figures, all if none is named."""
    blocks = BLOCK.findall((DOCS / f"{page}.md").read_text(encoding="utf-8"))
    if names and not {name for _, name in blocks} & set(names):
        return
    space: dict[str, object] = {}
    with mpl.rc_context(COLUMN), TemporaryDirectory() as folder, chdir(folder):
        for code, name in blocks:
            if name and names and name not in names:
                continue
            exec(code, space)
            if name:
                save(space["ax"].figure, FIGURES / f"{name}.png")


def save(figure, path: Path, dpi: int = 200) -> None:
    """Save with few colours, so that the file is small."""
    from PIL import Image

    figure.savefig(path, dpi=dpi)
    plt.close(figure)
    picture = Image.open(path).convert("RGB")
    picture.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    asked = sys.argv[1:]
    if not asked or "readme" in asked:
        readme()
    if asked != ["readme"]:
        for page in ("gallery", "tutorial"):
            pictures(page, [name for name in asked if name != "readme"])
