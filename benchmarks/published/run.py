"""Published numbers beside ours, fitted to the runs that their authors released.

    python benchmarks/published/run.py [study ...] [--json FILE] [--docs FILE]

One row a number: what was published, what this library finds on the open part of the same runs,
its 95 % bootstrap interval, and why the two differ. Needs the open tables in ``shared/data`` beside
the repository. ``results.json`` here and the table of ``docs/published.md`` are its last answers.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

import scaling_laws as sl

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
LEVEL = 0.95
MARK = "<!-- written by benchmarks/published/run.py -->"
OPTIONS = {"draws": 400, "law_error": False, "seed": 0}
SCALING = ["params", "tokens", "loss"]
Row = dict[str, object]


def read(name: str) -> pd.DataFrame:
    """Return an open table."""
    return pd.read_csv(DATA / f"{name}.csv", low_memory=False)


def beside(
    study: str, fit: sl.Fit, published: Mapping[str, float], why: str, digits: int = 5
) -> Iterator[Row]:
    """Yield a row for every published coefficient."""
    interval = fit.interval(LEVEL)
    for name, value in published.items():
        yield row(
            *(study, name, value, fit.coef[name], interval.low[name], interval.high[name]),
            *(why, len(fit.residuals), digits),
        )


def row(study, quantity, published, ours, low, high, why, runs, digits) -> Row:
    """Return one comparison."""

    def few(x: float) -> float:
        return float(f"{x:.{digits}g}")

    return {
        "study": study,
        "quantity": quantity,
        "published": few(published),
        "ours": few(ours),
        "low": few(low),
        "high": few(high),
        "runs": int(runs),
        "why": why,
    }


# ---------------------------------------------------------------- the Chinchilla runs, digitised


def hoffmann() -> Iterator[Row]:
    """Hoffmann et al. 2022 and everyone who refitted their figure 4."""
    every = read("chinchilla_epoch")
    runs = every[~every.excluded_by_besiroglu]
    fit = sl.fit(runs[SCALING], "chinchilla", robust=sl.Huber(1e-3), **OPTIONS)
    yield from beside(
        "Hoffmann et al. 2022, approach 3",
        fit,
        sl.published.HOFFMANN_2022_FULL.coef,
        "their optimiser stopped early on an averaged loss (Besiroglu et al. 2024)",
    )
    yield from beside(
        "Besiroglu et al. 2024",
        fit,
        sl.published.BESIROGLU_2024.coef,
        "they stopped 0.03 % above the optimum, along the valley in which B and beta move together",
    )
    below = runs[runs.flops < 1e21]
    means = {
        "CZECH_2026": ("squared error", None, "linear", "same optimum"),
        "CZECH_2026_LOG": ("squared log error", None, "log", "same optimum"),
        "CZECH_2026_HUBER": (
            *("Huber, ml-scalefit", sl.Huber(1e-3), "log"),
            "other settings of the Huber loss, or an early stop; ours is the optimum at 1e-3",
        ),
    }
    for name, (what, robust, residual, why) in means.items():
        law = sl.published.get(name)
        fit = sl.fit(below[SCALING], "chinchilla", robust=robust, residual=residual, **OPTIONS)
        shown = {n: law.coef[n] for n in ("E", "alpha", "beta")}
        yield from beside(f"Czech et al. 2026, {what}", fit, shown, why)


# ---------------------------------------------------------------- repeated data


def muennighoff() -> Iterator[Row]:
    """Second stage on the published base law, then all constants at once."""
    runs = read("datablations").query("in_fit_set")
    columns = ["params", "tokens", "unique_tokens", "loss"]
    published = sl.published.MUENNIGHOFF_2023_REPEATED.coef
    base = sl.published.MUENNIGHOFF_2023.coef
    again = runs[runs.epochs > 1][columns]
    options = OPTIONS | {"draws": 100}
    fit = sl.fit(again, "repeated_data", robust=sl.Huber(1e-3), fixed=base, **options)
    halves = {n: published[n] for n in ("R_D", "R_N")}
    yield from beside(
        "Muennighoff et al. 2023, base law fixed",
        fit,
        halves,
        "21 of their 182 runs, the largest, are not open here; repeated runs only",
    )
    fit = sl.fit(
        runs[columns], "repeated_data", robust=sl.Huber(1e-3), ties={"beta": "alpha"}, **options
    )
    yield from beside(
        "Muennighoff et al. 2023, all at once",
        fit,
        {n: published[n] for n in ("E", "A", "alpha", "B", "R_D", "R_N")},
        "their base law, fitted first, misses these runs by 11 % (root mean square; all at once "
        "6 %); R_N is then hardly determined",
    )


# ---------------------------------------------------------------- experts, streams, shapes


def clark() -> Iterator[Row]:
    """One law a router, dense models counted as one expert."""
    runs = read("routing")
    runs = runs[runs.is_final & (runs.routing_frequency == 0.5) & (runs.k == 1) & (runs.seed == 42)]
    runs = runs.rename(columns={"num_experts": "experts", "dense_params": "params"})
    for router, name in (("S-Base", "S_BASE"), ("RL-R", "RL_R"), ("Hash", "HASH")):
        mine = runs[runs.router_type.isin(["Dense", router])][["params", "experts", "loss"]]
        yield from beside(
            f"Clark et al. 2022, {router}",
            sl.fit(mine, "routed", robust=None, **OPTIONS),
            sl.published.get(f"CLARK_2022_{name}").coef,
            "sizes to 0.37e9 are open, theirs went to 1.3e9; printed to three decimals",
        )


def streams() -> Iterator[Row]:
    """Parallel streams."""
    runs = read("scalebench_parallel").rename(columns={"parallel_size": "streams"})
    for corpus in ("pile", "stack"):
        mine = runs[runs.group == corpus][["params", "streams", "loss"]]
        yield from beside(
            f"Li et al. 2026, streams, {corpus}",
            sl.fit(mine, "parallel_streams", **OPTIONS),
            sl.published.get(f"LI_2026_STREAMS_{corpus.upper()}").coef,
            "8 streams are not open here",
        )


def gemstones() -> Iterator[Row]:
    """Cooled-down runs of many shapes."""
    runs = read("gemstones").query("schedule == 'cooldown'")
    yield from beside(
        "McLeish et al. 2025, cooled down",
        sl.fit(runs[SCALING], "chinchilla", robust=sl.Huber(1e-4), **OPTIONS),
        sl.published.MCLEISH_2025_COOLED.coef,
        "14 of their 199 rows, the largest, are not open here; checkpoints of 22 models are not "
        "independent, so the interval is too narrow",
    )


# ---------------------------------------------------------------- over-training


def gadre() -> Iterator[Row]:
    """Tied exponents on five small runs a corpus; the other runs from 20 tokens per parameter."""
    runs = read("overtraining").rename(columns={"loss_c4": "loss"})
    for corpus, mine in runs.groupby("train_dataset"):
        tiny = mine.params < 2e7
        chosen = (mine.token_multiplier == 20) | (tiny & (mine.token_multiplier == 320))
        fitter = sl.Fitter(draws=0, robust=None, ties={"beta": "alpha"})
        law = fitter.fit(mine[chosen][SCALING], "chinchilla").law
        held = mine[~chosen & (mine.token_multiplier >= 20)]
        error = np.abs(law(params=held.params, tokens=held.tokens) / held.loss - 1)
        yield row(
            *(f"Gadre et al. 2024, {corpus}", "mean relative error of loss held out", 0.007),
            *(error.mean(), error.min(), error.max()),
            "their figure is for two larger targets on RedPajama, which are not open here; ends of "
            "the range are the best and the worst run",
            *(chosen.sum(), 2),
        )


# ---------------------------------------------------------------- optimal sizes


PORIAN = (  # steps of the paper's abstract and table, with the exponent of each
    ("Kaplan's set-up", 0.835, "base", "long", "kaplan", ("kaplan",)),
    ("last layer's compute counted", 0.706, "base", "long", "kaplan", ("standard", "attention")),
    ("warmup scaled", 0.602, "base", "short", "kaplan", ("standard", "attention")),
    ("decay matched", 0.571, "base", "short", "chinchilla", ("standard", "attention")),
    ("rate, batch and beta_2 tuned", 0.497, "tuned", "short", "const", ("standard", "attention")),
)


def porian() -> Iterator[Row]:
    """Exponent of the optimal size in compute, step by step."""
    every = read("porian_isoflops").query("dataset == 'rw'")
    for step, published, hparams, warmup, decay, counts in PORIAN:
        chosen = every[(every.hparams == hparams) & (every.warmup == warmup)]
        chosen = chosen[chosen.decay == decay]
        for count in counts:
            runs = chosen[chosen.param_count == count][["params", "tokens", "flops", "loss"]]
            found = sl.fit_isoflop(runs, budget="flops", surface=None, draws=400)
            interval = found.interval(LEVEL).loc["params_exponent"]
            yield row(
                *("Porian et al. 2024, RefinedWeb", f"exponent, {step} ({count} count)"),
                *(published, found.params_exponent, interval.low, interval.high),
                "parabolas for their Akima splines; they weight budgets by seed noise",
                *(len(runs), 3),
            )


# ---------------------------------------------------------------- learning rate and batch


def step_law() -> Iterator[Row]:
    """The best learning rate and batch of every (params, tokens)."""
    runs = read("steplaw_dense").query("not diverged").drop(columns="loss")
    names = {"loss_smooth": "loss", "lr": "learning_rate", "batch_size_tokens": "batch_size"}
    runs = runs.rename(columns=names)
    best = runs.loc[runs.groupby(["params", "tokens"]).loss.idxmin()]
    options = OPTIONS | {"robust": None}
    laws = {
        "learning_rate": (sl.published.LI_2025_LEARNING_RATE, "product", ("params", "tokens")),
        "batch_size": (sl.published.LI_2025_BATCH_SIZE, "power", ("tokens",)),
    }
    for target, (law, family, inputs) in laws.items():
        fit = sl.fit(best[[*inputs, target]], family, inputs=inputs, target=target, **options)
        rates = {n: v for n, v in law.coef.items() if n.startswith("alpha")}
        yield from beside(
            f"Li et al. 2025, Step Law, {target}",
            fit,
            rates,
            "ours are the single best runs of 17 pairs on a coarse grid, theirs the mean of 1,000 "
            "bootstrap fits (rates of a falling power: negative ones rise)",
        )


# ---------------------------------------------------------------- accuracy from task loss


OLMO = {"mmlu": "", "hellaswag": "_val", "piqa": "_val", "socialiqa": "_val"}  # within 2 points
HARDER = {"arc_challenge": "_test", "arc_easy": "_test", "csqa": "_val", "openbookqa": "_test"}


def olmo() -> Iterator[Row]:
    """The second step of two: accuracy of the target models from their measured task loss."""
    runs = read("olmo_ladder")
    for what in ("bpb", "acc"):
        runs[f"{what}_mmlu"] = runs.filter(regex=f"^{what}_mmlu_").mean(axis=1)
    ladder = runs[runs.role == "ladder"].iloc[::5]
    targets = runs[runs.is_final & (runs.role == "target")]
    for task, split in (OLMO | HARDER).items():
        names = {f"bpb_{task}{split}": "task_loss", f"acc_{task}{split}": "accuracy"}
        mine = ladder.rename(columns=names)[["task_loss", "accuracy"]]
        fitter = sl.Fitter(draws=0, bounds={"best": (0.0, 1.0)})
        law = fitter.fit(mine, "logistic", target="accuracy", inputs=("task_loss",)).law
        seen = targets.rename(columns=names)
        error = 100 * np.abs(law(task_loss=seen.task_loss.to_numpy()) - seen.accuracy.to_numpy())
        yield row(
            *("Bhagia et al. 2024", f"{task}, mean error of accuracy [points]"),
            *(2.0 if task in OLMO else 6.9, error.mean(), error.min(), error.max()),
            "theirs, from size and data: at most 2 on the first four tasks, 6.9 on average on the "
            "others; ours starts from the measured loss, with MMLU the mean of its four groups and "
            "no upper level above 1; ends of the range are the two models",
            *(len(mine), 2),
        )


STUDIES = {
    f.__name__: f
    for f in (hoffmann, muennighoff, clark, streams, gemstones, gadre, porian, step_law, olmo)
}


def write_docs(rows: list[Row], page: Path) -> None:
    """Replace what follows the marker of a documentation page by the table."""
    lines = [
        "| what | published | ours | 95 % interval or range | runs | why they differ |",
        "|---|---:|---:|---|---:|---|",
    ]
    before = None
    for r in rows:
        new = r["study"] != before
        before = r["study"]
        what = f"**{r['study']}** {r['quantity']}" if new else r["quantity"]
        cells = [what, *(f"{r[n]:.5g}" for n in ("published", "ours"))]
        cells += [f"{r['low']:.4g} to {r['high']:.4g}", r["runs"], r["why"] if new else ""]
        lines.append("| " + " | ".join(str(c) for c in cells) + " |")
    head = page.read_text(encoding="utf-8").split(MARK)[0]
    page.write_text("\n".join([head + MARK, "", *lines, ""]), encoding="utf-8")


def main() -> None:
    """Run the studies named, or all, and write their rows."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("studies", nargs="*", metavar="study", help=", ".join(STUDIES))
    parser.add_argument("--json", type=Path, help="file to write the rows to")
    parser.add_argument("--docs", type=Path, help="page to write the table into")
    chosen = parser.parse_args()
    rows: list[Row] = []
    for name in chosen.studies or STUDIES:
        start = time.process_time()
        rows += STUDIES[name]()
        print(f"{name}: {time.process_time() - start:.1f} s of processor time", file=sys.stderr)
    table = pd.DataFrame(rows).drop(columns="why")
    print(table.to_string(index=False))
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    if chosen.docs:
        write_docs(rows, chosen.docs)


if __name__ == "__main__":
    main()
