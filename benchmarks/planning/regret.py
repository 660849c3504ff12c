"""How much worse than the best the planned sizes are, on budgets that were held out.

Every method sees the smaller budgets of an experiment and names a size for a larger one, at 2, 4
and 16 times the largest seen. Regret: ln loss of the held-out budget's parabola at that size, less
its minimum. Means over held-out budgets, experiments and families of data, each weighed equally.

    python benchmarks/planning/regret.py --output benchmarks/planning/regret.json [--select]
"""

import argparse
import json
import sys
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
from experiments import Case, cases

import scaling_laws as sl
from scaling_laws.planning.baseline import Baseline, constant_exponent, shrunk_optimum
from scaling_laws.planning.isoflop.analysis import fit_isoflop, near_minima

RUNS = ("params", "tokens", "loss")
BASE = "constant exponent"


class Surface:
    """Optima of a fitted law or selection, and its 2 % range relative to them."""

    def __init__(self, source, anchor: bool = False):
        """Hold a planner of a fit or selection."""
        self.planner = sl.Planner(source, anchor=anchor)

    def __call__(self, log_c: float) -> float:
        """Ln of the best size."""
        return float(np.log(self.planner.for_budget(flops=np.exp(log_c)).best["params"]))

    def span(self, log_c: float) -> tuple[float, float]:
        """Ends of ln size within 2 % more compute, less the optimum's."""
        plan = self.planner.for_budget(flops=np.exp(log_c))
        if not plan.near_optimal:
            return (np.nan, np.nan)
        low, high = np.log(plan.near_optimal["params"])
        return float(low - np.log(plan.best["params"])), float(high - np.log(plan.best["params"]))


class Power:
    """Optima by isoFLOP parabolas."""

    def __init__(self, known: pd.DataFrame):
        """Fit the parabolas of the budgets known."""
        self.found = fit_isoflop(known, budget="budget", surface=None, draws=0)

    def __call__(self, log_c: float) -> float:
        """Ln of the best size."""
        return float(self.found.line.at(np.array([log_c]))[0, 0])

    def span(self, log_c: float) -> tuple[float, float]:
        """Ends of ln size within 2 % more compute: the last parabola, at the slope of minima."""
        del log_c
        table = self.found.table[self.found.table.inside]
        slope = np.polyfit(np.log(table.flops), np.log(table.loss), 1)[0]
        reach = float(np.sqrt(-slope * np.log(1.02) / table.curvature.iloc[-1]))
        return -reach, reach


def methods(known: pd.DataFrame, select: bool) -> dict[str, Callable[[float], float]]:
    """Planners of every method, made from the runs known."""
    runs, near = known[[*RUNS]], known[[*RUNS]].iloc[near_minima(known, budget="budget")]
    out: dict[str, Callable[[float], float]] = {"approach 2": Power(known)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"draws": 0, "law_error": False}
        out["additive"] = Surface(sl.fit(runs, "chinchilla", **options))
        out["coupled, focus 1"] = Surface(sl.fit(runs, "coupled", focus=1.0, **options))
        out["coupled, focus 1, near minima"] = Surface(
            sl.fit(near, "coupled", focus=1.0, **options)
        )
        out["Planner(coupled fit)"] = Surface(sl.fit(runs, "coupled", focus=1.0, **options), True)
        if select:
            selection = sl.select(runs, draws=20)
            out["selection"] = Surface(selection)
            out["Planner(selection)"] = Surface(selection, True)
    return out


def _base(known: pd.DataFrame, plans: dict[str, Callable[[float], float]], budget: str | None):
    """Constant-exponent baseline; where no optimum was measured well, that of the law."""
    law = plans["coupled, focus 1"]
    optimum = lambda flops: float(np.exp(law(np.log(flops))))  # noqa: E731
    return constant_exponent(known, budget=budget, law_optimum=optimum)


def score(
    case: Case, plans: dict[str, Callable[[float], float]], base: Baseline, named_base: Baseline
) -> list[dict]:
    """Regret of every method, and whether its 2 % range holds the minimum."""
    about = {"source": case.source, "family": case.family, "ratio": case.ratio}
    about["largest"] = case.largest
    at, last = case.log_c, float(np.log(base.flops))
    named = {
        BASE: float(base.log_params(at)),
        f"{BASE}, named budgets": float(named_base.log_params(at)),
    }
    spans = {}
    for name, plan in plans.items():
        named[name] = plan(at)
        if name.startswith("Planner"):  # as the library plans, with everything at its default
            spans[name] = plan.span(at)
            continue
        named[f"{name}, shrunk"] = float(shrunk_optimum(named[name], plan(last), base, at))
        spans[name] = spans[f"{name}, shrunk"] = plan.span(at)
    rows = []
    for name, log_n in named.items():
        low, high = spans.get(name, (np.nan, np.nan))
        row = {"method": name, "regret": case.regret(log_n), "miss": log_n - case.log_n}
        known = np.isfinite(low)
        row["held"] = float(low <= -row["miss"] <= high) if known else np.nan
        rows.append({**about, **row, "width": high - low})
    return rows


def family_means(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean by method and ratio: over cases, then experiments, then families."""
    grouped = table.groupby(["method", "ratio", "family", "source"])[column].mean()
    return grouped.groupby(["method", "ratio", "family"]).mean().groupby(["method", "ratio"]).mean()


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Regret, cover and width by method; one column a ratio of budgets."""
    means = {c: family_means(table, c).reset_index() for c in ("regret", "held", "width")}
    parts = {
        c: m.pivot_table(index="method", columns="ratio", values=c, dropna=False)
        for c, m in means.items()
    }
    return pd.concat(parts, axis=1)


def main():
    """Score every case and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--select", action="store_true", help="plan from selections too (slow)")
    parser.add_argument("--output", required=True)
    options = parser.parse_args()
    rows, made = [], {}
    for case in cases():
        key = (case.source, len(case.known))
        if key not in made:
            plans = methods(case.known, options.select)
            made[key] = (plans, *(_base(case.known, plans, b) for b in (None, "budget")))
        rows += score(case, *made[key])
    table = pd.DataFrame(rows)
    out = {"cases": int(table.groupby("method").size().iloc[0])}
    for name, part in (("every", table), ("largest", table[table.largest])):
        means = summary(part)
        sys.stdout.write(f"{name} held-out budget\n{means.round(5).to_string()}\n")
        out[name] = {
            method: {c: {str(r): v for r, v in row[c].items()} for c in ("regret", "held", "width")}
            for method, row in means.iterrows()
        }
    with open(options.output, "w", encoding="utf-8") as file:
        json.dump(json.loads(pd.Series(out).to_json(double_precision=6)), file, indent=1)


if __name__ == "__main__":
    main()
