"""Draw the figures of README and tutorial: ``python docs/make_figures.py``."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")

import matplotlib.pyplot as plt

import scaling_laws as sl

FIGURES = Path(__file__).parent / "figures"
INK, ORANGE, GREY = "#222222", "#D55E00", "#8A8A8A"


def readme() -> None:
    """Left: small runs fitted, large ones predicted. Right: the plan that follows."""
    runs = sl.load_dataset("tiny_lm")
    cut = 0.1 * runs.flops.max()
    small, large = runs[runs.flops <= cut], runs[runs.flops > cut]
    selection = sl.select(small)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.7), layout="constrained")
    predictions(left, selection, small, large, cut)
    plan(right, sl.Planner(sl.select(runs)), runs.flops.max())
    figure.savefig(FIGURES / "readme.png", dpi=160)


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
    label = (
        f"{len(small)} runs fitted  |  {len(large)} larger foretold: {100 * error:.1f} % off, "
        f"{inside} in their 90 % interval"
    )
    ax.set(xscale="log", xlabel="training compute [FLOP]", ylabel="held-out loss [nats/byte]")
    ax.set_title(label, fontsize=8.5, color=INK)
    ax.plot([], [], "o", ms=3.5, color=colours[0], mew=0, label="fitted")
    ax.plot([], [], "o", ms=5, mfc="white", mec=ORANGE, mew=1.3, label="held out")
    ax.plot([], [], color=colours[0], lw=1, ls=(0, (3, 2)), label="predicted")
    ax.plot([], [], color=ORANGE, lw=0.8, alpha=0.5, label="90 % interval")
    ax.legend(fontsize=8, loc="upper right", frameon=False)
    low, high = (f"{v:.0f} k" for v in (small.params.min() / 1e3, small.params.max() / 1e3))
    ax.text(0.03, 0.06, f"one line a model size, {low} to {high}", transform=ax.transAxes,
            fontsize=8, color=INK)  # fmt: skip


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
    for i, (factor, offset) in enumerate(((10, (20, -52)), (100, (-17, 13)))):
        ax.annotate(
            f"{factor}x: {_count(marked.best['params'][i])} parameters\n"
            f"{_count(marked.best['tokens'][i])} tokens\nloss {marked.best['loss'][i]:.2f} "
            f"({marked.low['loss'][i]:.2f} to {marked.high['loss'][i]:.2f})",
            (marked.best["flops"][i], marked.best["params"][i]),
            xytext=offset,
            textcoords="offset points",
            fontsize=7,
            ha="center",
            color=INK,
        )
    ax.set_title("what to train next, with 90 % intervals", fontsize=10, color=INK)


def tutorial() -> None:
    """Runs as they are, and held-out runs beside their predictions."""
    runs = sl.load_dataset("tiny_lm")
    figure, ax = plt.subplots(figsize=(5, 3.5), layout="constrained")
    colours = mpl.colormaps["viridis"](np.linspace(0, 0.85, runs.params.nunique()))
    for (size, group), colour in zip(runs.groupby("params"), colours, strict=True):
        mean = group.groupby("tokens").loss.mean()
        ax.plot(mean.index, mean, "o-", ms=3, lw=1, color=colour, label=f"{size / 1e3:.0f} k")
    ax.set(xscale="log", xlabel="training tokens", ylabel="held-out loss [nats/byte]")
    ax.legend(title="parameters", fontsize=7)
    figure.savefig(FIGURES / "tutorial_look.png", dpi=110)
    small = runs[runs.flops <= runs.flops.max() / 10]
    large = runs.drop(small.index)
    ahead = sl.select(small).predict(large[["params", "tokens"]]).assign(actual=large.loss.values)
    figure, ax = plt.subplots(figsize=(4.2, 3.6), layout="constrained")
    ends = [ahead.actual.min() * 0.95, ahead.actual.max() * 1.05]
    ax.plot(ends, ends, color=GREY, lw=0.8)
    ax.vlines(ahead.actual, ahead.loss_low, ahead.loss_high, color=ORANGE, lw=0.8, alpha=0.6)
    ax.plot(ahead.actual, ahead.loss, "o", ms=4, mfc="white", mec=ORANGE, mew=1.2)
    ax.set(xlabel="measured loss [nats/byte]", ylabel="predicted from smaller runs, 90 % interval")
    figure.savefig(FIGURES / "tutorial_held_out.png", dpi=110)


def _count(value: float) -> str:
    return f"{value / 1e6:.2g} M" if value < 1e8 else f"{value / 1e6:.0f} M"


if __name__ == "__main__":
    readme()
    tutorial()
