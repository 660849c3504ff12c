"""Which runs next: `next_runs` against random, cheapest and D-optimal choices on open pools.

The targets of a pool are its largest 15 % by cost; the rest can be bought. Every strategy starts
from the same few cheap runs, drawn anew in each repeat, and buys until 1 %, 5 % and 10 % of the
pool's cost are spent (20 %, 35 % and 50 % where few runs are a large part of it), start included.
After each share the task's law is fitted to what was bought, the same way for all, and scored by
R2 on the targets, no lower than -1 as in Li et al. (2026), arXiv:2604.22753, table 2. Next to it
stand their figures, from the table in the README of their repository, PlanarG/active-sl. They are
not of the same split: their targets are a test split that is not in the open files used here, and
they average over several laws a task. D-optimal choices, like those of `next_runs`, divide gains by
cost to the power 0.7. Pools whose groups are too small to start within a share, or whose runs all
cost the same, are left out (sft, easy_question, domain_mixture), as is distillation, whose fits
take too long.

    python benchmarks/planning/next_runs.py [task ...] [--repeats 10] [--json next_runs.json]
"""

from __future__ import annotations

import argparse
import contextlib
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

import scaling_laws as sl
from scaling_laws.inference.calibration import bundled_calibration
from scaling_laws.inference.law_error import LawError
from scaling_laws.inference.weighing import directions
from scaling_laws.planning.design.next_runs import next_runs
from scaling_laws.solving.setup import bind_family

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SMALL, LARGE = (0.01, 0.05, 0.1), (0.2, 0.35, 0.5)
TARGETS = 0.15
MOST_ROWS = 300
DRAWS = 60
SPARE = 2  # runs at the start beyond the coefficients
PUBLISHED = {  # arXiv:2604.22753, table 2: their method, D-optimal, cheapest and random choices
    "lr_bsz": {"theirs": (-0.66, 0.00, 0.22), "d_optimal": (-0.92, -0.66, -0.53),
               "cheapest": (-0.92, -0.88, -0.80), "random": (-0.65, -0.45, -0.33)},
    "vocab": {"theirs": (0.96, 0.98, 0.98), "d_optimal": (0.95, 0.97, 0.97),
              "cheapest": (0.30, 0.53, 0.55), "random": (0.54, 0.53, 0.59)},
    "parallel": {"theirs": (-1.00, 0.77, 0.99), "d_optimal": (-1.00, 0.70, 0.99),
                 "cheapest": (-1.00, 0.42, 0.42), "random": (-1.00, 0.27, 0.19)},
    "moe": {"theirs": (0.59, 0.65, 0.83), "d_optimal": (0.34, 0.55, 0.74),
            "cheapest": (0.30, 0.74, 0.81), "random": (-0.47, 0.01, 0.26)},
    "data_constrained": {"theirs": (0.73, 0.85, 0.86), "d_optimal": (0.71, 0.80, 0.77),
                         "cheapest": (-0.58, -0.56, -0.40), "random": (-0.74, -0.36, 0.12)},
    "sparsity": {"theirs": (0.31, 0.44, 0.53), "d_optimal": (-0.07, 0.23, 0.19),
                 "cheapest": (-0.95, 0.04, 0.32), "random": (-0.25, 0.37, 0.38)},
    "farseer": {"theirs": (0.60, 0.88, 0.93), "d_optimal": (-0.11, 0.49, 0.87),
                "cheapest": (-0.89, 0.41, 0.68), "random": (-0.77, 0.78, 0.79)},
}  # fmt: skip


@dataclass(frozen=True)
class Task:
    """A pool of runs, the law that is fitted to them, and what a run costs."""

    name: str
    file: str
    law: str
    inputs: tuple[str, ...]
    cost: str
    shares: tuple[float, ...] = SMALL
    rename: tuple[tuple[str, str], ...] = ()
    target: str = "loss"
    residual: str = "auto"
    apart: bool = True  # whether groups are pools of their own

    def pools(self, repeat: int) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
        """Runs that can be bought, cheapest first, and targets, of each group."""
        table = pd.read_csv(DATA / f"scalebench_{self.file}.csv").rename(columns=dict(self.rename))
        numbers = table.select_dtypes("number").columns
        table[numbers] = table[numbers].astype(float)
        table["cost"] = table.eval(self.cost)
        apart = self.apart and "group" in table
        labels = table["group"] if apart else pd.Series("all", index=table.index)
        for _, rows in table.groupby(labels):
            kept = rows.drop_duplicates()
            if len(kept) > MOST_ROWS:
                kept = kept.sample(MOST_ROWS, random_state=repeat)
            kept = kept.sort_values("cost", kind="stable").reset_index(drop=True)
            large = kept.cost >= kept.cost.iloc[-max(2, int(np.ceil(TARGETS * len(kept))))]
            yield kept[~large].reset_index(drop=True), kept[large].reset_index(drop=True)

    def fit(self, rows: pd.DataFrame, draws: int = 0) -> sl.Fit:
        """Fit the law; its own error beyond the data is what other data sets say."""
        fitter = sl.Fitter(draws=draws, residual=self.residual, law_error=False)
        fit = fitter.fit(rows, bind_family(self.law, self.target, self.inputs), target=self.target)
        unit = 1.0 if fit.predictive.residual == "log" else float(np.std(fit.rows("").y))
        rate = bundled_calibration().rate
        rates = {n: unit * rate(n, alone=True) for n in directions(fit.rows(""))}
        error = LawError(rates, fit.rows("").ranges())
        return replace(fit, predictive=replace(fit.predictive, law_error=error))


PAIR = ("params", "tokens")
TASKS = (
    Task("farseer", "farseer", "coupled", PAIR, "6 * params * tokens"),
    Task("data_constrained", "data_constrained", "repeated_data", (*PAIR, "unique_tokens"),
         "6 * params * tokens"),
    Task("lr_bsz", "lr_bsz", "learning_rate_batch", ("learning_rate", "batch_size", *PAIR),
         "6 * params * tokens",
         rename=(("lr", "learning_rate"), ("batch_size_seqs", "batch_size"))),
    Task("vocab", "vocab", "vocabulary_product", ("params", "vocab_size", "tokens"),
         "6 * params * tokens", residual="linear",
         rename=(("non_vocab_params", "params"), ("num_characters", "tokens"),
                 ("loss_unigram_normalized", "loss"))),
    Task("moe", "moe", "experts_product", ("params", "experts"), "params * experts",
         rename=(("num_experts", "experts"), ("dense_params", "params"))),
    Task("parallel", "parallel", "parallel_streams", ("params", "streams"), "params", LARGE,
         rename=(("parallel_size", "streams"),)),
    Task("sparsity", "sparsity", "additive_power", ("params", "sparsity_ratio", "tokens"),
         "6 * n_dense * d1 + 6 * params * tokens", LARGE, apart=False,
         rename=(("n_active", "params"), ("d2", "tokens"))),
    Task("sae", "sae", "product_with_floor", ("latents", "active_latents"), "latents", LARGE),
)  # fmt: skip

Choose = Callable[[Task, "State", float], list[int]]


@dataclass
class State:
    """What a strategy has bought so far."""

    pool: pd.DataFrame
    goals: pd.DataFrame
    bought: list[int]
    fit: sl.Fit
    order: np.ndarray

    @property
    def left(self) -> np.ndarray:
        return np.setdiff1d(np.arange(len(self.pool)), self.bought)


def in_order(state: State, order: np.ndarray, budget: float) -> list[int]:
    """Runs in this order, leaving out what no longer fits the budget."""
    left, new, cost = set(state.left.tolist()), [], state.pool.cost.to_numpy()
    for j in order:
        if int(j) in left and cost[j] <= budget:
            new.append(int(j))
            budget -= cost[j]
    return new


def random_runs(_: Task, state: State, budget: float) -> list[int]:
    return in_order(state, state.order, budget)


def cheapest(_: Task, state: State, budget: float) -> list[int]:
    return in_order(state, np.argsort(state.pool.cost.to_numpy(), kind="stable"), budget)


def d_optimal(task: Task, state: State, budget: float, exponent: float = 0.7) -> list[int]:
    """The largest gain of log det J'J over cost to a power, at the present coefficients."""
    family, values = state.fit.law.family, np.array(state.fit.law.values)
    inputs = [state.pool[n].to_numpy() for n in task.inputs]
    size = 1e-5 * np.maximum(np.abs(values), 1e-8)
    columns = []
    for step in np.diag(size):
        up, down = (family.evaluate(inputs, list(values + s * step)) for s in (1, -1))
        columns.append(np.broadcast_to(up - down, inputs[0].shape) / 2e-5)
    jacobian = np.stack(columns, axis=1)
    if state.fit.predictive.residual == "log":
        jacobian = jacobian / family.evaluate(inputs, list(values))[:, None]
    jacobian = np.nan_to_num(jacobian) / max(float(np.nanmax(np.abs(jacobian))), 1e-300)
    had = jacobian[state.bought]
    inverse = np.linalg.inv(had.T @ had + 1e-8 * np.eye(len(values)))
    cost, left, new = state.pool.cost.to_numpy(), np.zeros(len(jacobian), dtype=bool), []
    left[state.left] = True
    while (can := left & (cost <= budget)).any():
        gain = np.log1p(np.maximum(np.einsum("ij,jk,ik->i", jacobian, inverse, jacobian), 0.0))
        j = int(np.where(can, gain / cost**exponent, -1.0).argmax())
        along = inverse @ jacobian[j]
        inverse -= np.outer(along, along) / (1.0 + jacobian[j] @ along)
        new.append(j)
        left[j], budget = False, budget - cost[j]
    return new


def ours(task: Task, state: State, budget: float) -> list[int]:
    could = state.pool.loc[state.left, [*task.inputs, "cost"]]
    try:
        fit = task.fit(state.pool.loc[state.bought], DRAWS)
        return list(next_runs(fit, could, at=state.goals, budget=budget).rows)
    except sl.ScalingLawError:
        return cheapest(task, state, budget)  # a fit that knows nothing


STRATEGIES: dict[str, Choose] = {
    "next_runs": ours,
    "d_optimal": d_optimal,
    "cheapest": cheapest,
    "random": random_runs,
}


def start_of(task: Task, pool: pd.DataFrame, rng: np.random.Generator) -> tuple[list[int], sl.Fit]:
    """A few cheap runs that vary every input, and their fit."""
    need = len(bind_family(task.law, task.target, task.inputs).coefficients) + SPARE
    for attempt in range(60):
        among = min(len(pool), int(need * (2 + attempt / 4)))
        rows = sorted(rng.choice(among, min(need, among), replace=False).tolist())
        if all(np.ptp(pool.loc[rows, n]) > 0 for n in task.inputs):
            try:
                return rows, task.fit(pool.loc[rows])
            except sl.ScalingLawError:
                continue
    raise sl.FitError(f"{task.name}: no start can be fitted")


def play(task: Task, repeat: int, strategies: dict[str, Choose]) -> list[dict]:
    """One repeat of a task: R2 on the targets of all groups, by strategy and share."""
    warnings.simplefilter("ignore")
    found: dict[tuple[str, float], list[np.ndarray]] = {}
    truth = []
    for group, (pool, goals) in enumerate(task.pools(repeat)):
        rng = np.random.default_rng([repeat, group])
        try:
            start, first = start_of(task, pool, rng)
        except sl.FitError:
            return []
        order, total = rng.permutation(len(pool)), float(pool.cost.sum())
        truth.append(goals[task.target].to_numpy())
        for name, choose in strategies.items():
            state = State(pool, goals[list(task.inputs)], list(start), first, order)
            for share in task.shares:
                told = _buy(task, state, choose, share * total)
                found.setdefault((name, share), []).append(told)
    return [
        {"task": task.name, "repeat": repeat, "strategy": name, "share": share,
         "r2": _r2(np.concatenate(truth), np.concatenate(told))}
        for (name, share), told in found.items()
    ]  # fmt: skip


def _buy(task: Task, state: State, choose: Choose, budget: float) -> np.ndarray:
    """Spend up to the budget, fit, and predict the targets; NaN where the start costs more."""
    spent = float(state.pool.cost[state.bought].sum())
    if spent > budget:
        return np.full(len(state.goals), np.nan)
    new = choose(task, state, budget - spent)
    if new:
        state.bought += new
        with contextlib.suppress(sl.ScalingLawError):
            state.fit = task.fit(state.pool.loc[state.bought])
    return np.asarray(state.fit.law(**{n: state.goals[n].to_numpy() for n in task.inputs}))


def _r2(truth: np.ndarray, told: np.ndarray) -> float:
    if not np.isfinite(told).all():
        return float("nan")
    score = 1.0 - np.sum((truth - told) ** 2) / np.sum((truth - truth.mean()) ** 2)
    return float(max(score, -1.0))


def measure(
    names: list[str], repeats: int, strategies: dict[str, Choose], jobs: int
) -> pd.DataFrame:
    """Every repeat of every task, one row a strategy and share."""
    tasks = [t for t in TASKS if not names or t.name in names]
    played = Parallel(n_jobs=jobs)(
        delayed(play)(task, repeat, strategies) for task in tasks for repeat in range(repeats)
    )
    return pd.DataFrame([row for rows in played for row in rows])


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean R2 of every strategy by task and share (first, second, third), and over tasks."""
    rank = table.groupby("task")["share"].rank("dense").astype(int)
    wide = table.assign(budget=rank).pivot_table("r2", ["budget", "strategy"], "task")
    return wide.assign(mean=wide.mean(axis=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tasks", nargs="*")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    started = time.perf_counter()
    table = measure(options.tasks, options.repeats, STRATEGIES, options.jobs)
    print(summary(table).round(2).to_string())
    print("\npublished (other splits and laws):")
    for task, rows in PUBLISHED.items():
        print(f"{task:18s}", {n: list(v) for n, v in rows.items()})
    print(f"\n{time.perf_counter() - started:.0f} s")
    if options.json:
        options.json.write_text(table.to_json(orient="records", indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
