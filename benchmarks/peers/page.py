"""The tables of ``docs/peers.md`` from what ``compare.py`` stored. Nothing is measured here."""

from __future__ import annotations

from pathlib import Path

import numpy as np

MARK = "<!-- written by benchmarks/peers/compare.py -->"
FIT, SELECT = "scaling_laws, fit", "scaling_laws, select"  # what others are compared with
KINDS = {
    "C": "top of compute",
    "L": "a decade or more below",
    "N": "params alone",
    "D": "tokens alone",
}
PROCESSOR = 1  # the second of each pair of clocks; the first is wall time


def shown(value: float) -> str:
    """Three digits without an exponent."""
    if not np.isfinite(value):
        return "none"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def with_spread(values: np.ndarray, low: float = 0.0, high: float = 1.0) -> str:
    """Median, and in brackets two quantiles: by default the whole range."""
    with np.errstate(invalid="ignore"):
        ends = np.quantile(values, [low, high], method="nearest")
    if not np.isfinite(values).all() and not np.isfinite(np.median(values)):
        return "none"
    upper = shown(ends[1]) if np.isfinite(ends[1]) else "refused"
    return f"{shown(float(np.median(values)))} ({shown(ends[0])} to {upper})"


def _rounds(entry: dict, what: str) -> np.ndarray:
    """Processor seconds of every round."""
    return np.array([r[what][PROCESSOR] for r in entry["rounds"]])


def _working(entry: dict) -> bool:
    return "rounds" in entry and not any("failed" in r for r in entry["rounds"])


def fit_table(tools: list[dict]) -> list[str]:
    """One row a tool: optimum, time, draws and memory on the same runs."""
    ours = next(t for t in tools if t["tool"] == FIT)
    best = min(t["objective"] for t in tools if "objective" in t)
    lines = [
        "| tool | version | minimises | objective | above the best [%] | import [s] "
        "| first fit [s] | warm fit [s] | warm fit, times ours | draws/s | peak [MiB] |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for t in tools:
        if not _working(t):
            state = "absent" if t.get("absent") else f"failed: {t['rounds'][0]['failed']}"
            lines.append(f"| {t['tool']} | {state} | {t['minimises']} |" + " |" * 8)
            continue
        cells = [t["tool"], t["version"], t["minimises"]]
        told = "objective" in t
        cells += [f"{t['objective']:.8f}" if told else "none"]
        cells += [f"{100 * (t['objective'] / best - 1):.4f}" if told else "none"]
        cells += [shown(float(np.median(_rounds(t, w)))) for w in ("import", "first", "fit")]
        cells += [with_spread(_rounds(t, "fit") / _rounds(ours, "fit"))]
        drawn = "draws_per_second" in t["rounds"][0]
        cells += [with_spread(_rounds(t, "draws_per_second")) if drawn else "none"]
        peaks = [r["peak_bytes"] or np.nan for r in t["rounds"]]
        cells += [shown(float(np.median(peaks)) / 2**20)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _column(entry: dict, what: str, names: list[str]) -> np.ndarray:
    """A score of every split; a refusal is worse than any answer."""
    return np.array([entry["splits"][n].get(what, np.inf) for n in names], dtype=float)


def split_table(tools: list[dict]) -> list[str]:
    """One row a tool: error and intervals on held-out runs."""
    ours = next(t for t in tools if t["tool"] == SELECT)
    names = list(ours["splits"])
    errors, scores = (_column(ours, w, names) for w in ("error", "score"))
    lines = [
        "| tool | intervals | answered | error [%] | error, times `select` (quartiles) "
        "| worse than `select` | cover 90 % | interval score | score, times `select` (quartiles) "
        "| seconds a split |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for t in tools:
        if "splits" not in t:
            continue
        error, score = (_column(t, w, names) for w in ("error", "score"))
        told = np.isfinite(error)
        cells = [t["tool"], t["intervals"], f"{told.sum()} of {len(names)}"]
        cells += [shown(100 * float(np.median(error)))]
        itself = t is ours
        cells += ["1" if itself else with_spread(error / errors, 0.25, 0.75)]
        cells += ["" if itself else f"{100 * np.mean(error > errors):.0f} %"]
        covers = [t["splits"][n]["cover"] for n in names if "cover" in t["splits"][n]]
        cells += [f"{np.mean(covers):.2f}" if covers else "none"]
        cells += [shown(float(np.median(score))) if covers else "none"]
        cells += ["1" if itself else with_spread(score / scores, 0.25, 0.75) if covers else "none"]
        seconds = [
            t["splits"][n]["seconds"][PROCESSOR] for n in names if "seconds" in t["splits"][n]
        ]
        cells += [shown(float(np.median(seconds))) if seconds else "none"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def kind_table(tools: list[dict]) -> list[str]:
    """Median error and mean coverage of each tool by what was held out."""
    present = [t for t in tools if "splits" in t]
    ours = next(t for t in present if t["tool"] == SELECT)
    of_kind = {k: [n for n, s in ours["splits"].items() if s["kind"] == k] for k in KINDS}
    of_kind = {k: names for k, names in of_kind.items() if names}
    heads = [f"{KINDS[k]} ({len(names)})" for k, names in of_kind.items()]
    lines = [f"| tool | {' | '.join(heads)} |", "|---|" + "---:|" * len(heads)]
    for t in present:
        cells = []
        for names in of_kind.values():
            error = 100 * float(np.median(_column(t, "error", names)))
            covers = [t["splits"][n]["cover"] for n in names if "cover" in t["splits"][n]]
            cells.append(shown(error) + (f", {np.mean(covers):.2f}" if covers else ""))
        lines.append(f"| {t['tool']} | {' | '.join(cells)} |")
    return lines


def tables(results: dict) -> str:
    """All that follows the marker."""
    about, tools = results["about"], results["tools"]
    changed = " with changes" if about["changed_since_commit"] else ""
    return "\n".join(
        [
            f"Measured at commit `{about['commit'][:10]}`{changed}: Python {about['python']}, "
            f"NumPy {about['numpy']}, {about['machine']}, {about['cores']} cores, one thread each, "
            f"{about['rounds']} rounds; load {about['load'][0]} before and "
            f"{about['load_after'][0]} after.",
            "",
            f"## One fit of {about['rows']} runs",
            "",
            *fit_table(tools),
            "",
            f"## {about['splits']} held-out splits",
            "",
            *split_table(tools),
            "",
            "Median error in per cent and, behind the comma, mean coverage of 90 % intervals, by "
            "what was held out:",
            "",
            *kind_table(tools),
            "",
        ]
    )


def write_page(results: dict, page: Path) -> None:
    """Replace what follows the marker of a documentation page by the tables."""
    head = page.read_text(encoding="utf-8").split(MARK)[0]
    page.write_text(f"{head}{MARK}\n\n{tables(results)}", encoding="utf-8")
