"""How well scores of larger models are predicted from smaller ones, through their loss.

    python benchmarks/downstream/run.py [targets] [ladder] [overtraining] [--json results.json]

Two families of open runs, `shared/data` beside the repository:

- `olmo_ladder`: loss and accuracy on eleven tasks (Bhagia et al. 2024, arXiv:2412.04403). The
  authors' own question is scored, 7B and 13B models from runs of up to 1.3B, and declared splits of
  the ladder itself. The last five evaluations of a run are averaged, as the authors do.
- `overtraining`: mean error over 17 and 46 tasks (Gadre et al. 2024, arXiv:2403.08540), on the
  declared splits, from the loss on held-out text of the training set.

Methods: `fit` and `select` chain a chinchilla fit or a selection with the link; `link only` is the
link at the predicted loss, as if that were known; `one step` fits accuracy directly. The upper
level of a link is taken as 1, since no run is near it. The authors'
predictions of the 13B model are those of `figures/chained_main.csv` of their repository.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import scaling_laws as sl

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
DRAWS = 200
KINDS = ("C30", "N", "L10", "L30")  # declared splits that are scored
# about how many questions each has
TASKS = {
    "hellaswag_val": 10042,
    "arc_challenge_test": 1172,
    "arc_easy_test": 2376,
    "piqa_val": 1838,
    "csqa_val": 1221,
    "socialiqa_val": 1954,
    "openbookqa_test": 500,
    "mmlu_stem_test": 3018,
    "mmlu_humanities_test": 4705,
    "mmlu_social_sciences_test": 3077,
    "mmlu_other_test": 3242,
}
AUTHORS_13B = {
    "hellaswag_val": (0.8319, 0.8530),
    "arc_challenge_test": (0.6381, 0.5267),
    "arc_easy_test": (0.8717, 0.7724),
    "piqa_val": (0.8296, 0.8208),
    "csqa_val": (0.7410, 0.7761),
    "socialiqa_val": (0.6160, 0.5995),
    "openbookqa_test": (0.4864, 0.4486),
}  # measured, predicted
LOSSES = {
    "c4_original": "loss_c4",
    "rpj": "loss_redpajama",
    "rw_original": "loss_refinedweb",
}


def ladder_runs() -> pd.DataFrame:
    """One row a run, its last five evaluations averaged; runs and targets alike."""
    table = pd.read_csv(DATA / "olmo_ladder.csv", low_memory=False)
    table["step"] = table["step"].fillna(0.0)
    scores = [c for c in table if c.startswith(("bpb_", "acc_"))]
    last = table.sort_values(["run", "step"]).groupby("run").tail(5)
    means = last.groupby("run")[scores].mean()
    final = table[table.is_final].set_index("run")
    final[scores] = means[scores]
    return final.reset_index()


def predictions(
    train: pd.DataFrame,
    test: pd.DataFrame,
    target: str,
    link: str,
    questions: int | None,
    direct_too: bool = False,
    **held,
) -> pd.DataFrame:
    """Predict the held-out rows by every method; columns ``method, actual, predicted, low, high``.

    Tables have columns ``params, tokens, task_loss`` and the target.
    """
    options = {"draws": DRAWS, **held}
    linked = sl.fit(train, link, target=target, inputs=("task_loss",), **options)
    steps = {
        "fit": sl.fit(train, "chinchilla", target="task_loss", draws=DRAWS),
        "select": sl.select(train, target="task_loss", inputs=("params", "tokens"), draws=DRAWS),
    }
    made = {n: sl.chain(s, linked, questions=questions).predict(test) for n, s in steps.items()}
    made["link only"] = linked.predict(task_loss=steps["fit"].predict(test)["task_loss"])
    if direct_too:
        direct = sl.fit(train, "logistic_joint", target=target, **{**options, "draws": 0})
        made["one step"] = direct.predict(test)
    out = []
    for method, table in made.items():
        rows = pd.DataFrame({"method": method, "actual": test[target].to_numpy()})
        for to, column in (("predicted", ""), ("low", "_low"), ("high", "_high")):
            rows[to] = table[f"{target}{column}"].to_numpy()
        out.append(rows)
    return pd.concat(out, ignore_index=True)


def score_ladder(
    runs: pd.DataFrame, train: pd.Series, test: pd.Series, direct_too: bool = False
) -> pd.DataFrame:
    """Predictions of every task for one division of the ladder."""
    out = []
    for task, questions in TASKS.items():
        names = {f"bpb_{task}": "task_loss", f"acc_{task}": "accuracy"}
        table = runs.rename(columns=names)[["params", "tokens", "task_loss", "accuracy", "run"]]
        out.append(
            predictions(
                table[train], table[test], "accuracy", "logistic", questions, direct_too,
                fixed={"best": 1.0}, bounds={"chance": (0.0, 1.0)},
            ).assign(task=task)
        )  # fmt: skip
    return pd.concat(out, ignore_index=True)


def score_overtraining(split) -> pd.DataFrame:
    """Predictions of both averages for one declared split of one data set."""
    table = pd.read_csv(DATA / split.file).query(split.filter)
    table = table.rename(columns={split.target: "task_loss"})
    axis = table.eval(split.axis).astype(float)
    train = axis <= float(split.train_max)
    test = (axis >= float(split.test_min)) & (axis <= float(split.test_max))
    out = []
    for score in ("err_avg17", "err_avg46"):
        named = table.rename(columns={score: "error"})
        found = predictions(named[train], named[test], "error", "loss_to_error", None)
        out.append(found.assign(task=score))
    return pd.concat(out, ignore_index=True)


def summary(rows: pd.DataFrame) -> dict:
    """Mean error in points, share inside and median width of the interval, by method."""
    out = {}
    for method, table in rows.groupby("method"):
        inside = (table.actual >= table.low) & (table.actual <= table.high)
        gap = 100 * (table.predicted - table.actual)
        out[method] = {
            "predictions": len(table),
            "mean_abs_error_points": round(float(gap.abs().mean()), 2),
            "median_abs_error_points": round(float(gap.abs().median()), 2),
            "mean_relative_error_percent": round(float((gap.abs() / table.actual).mean()), 2),
            "covered": _rounded(inside.mean(), 3) if table.low.notna().all() else None,
            "median_width_points": _rounded(100 * (table.high - table.low).median(), 2),
        }
    return out


def _rounded(value: float, digits: int) -> float | None:
    return round(float(value), digits) if np.isfinite(value) else None


def score_targets() -> dict:
    """The authors' question: the 7B and 13B models from the ladder."""
    runs = ladder_runs()
    target = runs.role == "target"
    rows = score_ladder(runs, runs.role == "ladder", target, direct_too=True)
    rows["size"] = np.tile(runs.size_label[target], len(rows) // int(target.sum()))
    theirs = [100 * abs(p - a) for a, p in AUTHORS_13B.values()]
    big = rows[rows["size"].str.startswith("13B") & rows.task.isin(AUTHORS_13B)]
    ours = {m: v["mean_abs_error_points"] for m, v in summary(big).items()}
    return {
        "ladder, 7B and 13B": summary(rows),
        "ladder, 13B, seven tasks: mean error in points": {
            "authors": round(float(np.mean(theirs)), 2),
            **ours,
        },
        "ladder, 7B and 13B, each": rows[rows.method == "fit"].round(4).to_dict("records"),
    }


def score_splits() -> dict:
    """Declared splits of the ladder."""
    runs, out = ladder_runs(), []
    runs = runs[runs.role != "target"].reset_index(drop=True)
    for split in declared("olmo"):
        axis = runs.astype({"tokens": float}).eval(split.axis).astype(float)
        test = (axis >= float(split.test_min)) & (axis <= float(split.test_max))
        out.append(score_ladder(runs, axis <= float(split.train_max), test))
    return {"ladder splits": summary(pd.concat(out))}


def score_errors() -> dict:
    """Declared splits of the over-trained models."""
    rows = pd.concat([score_overtraining(split) for split in declared("overtraining")])
    return {f"overtraining splits, {n}": summary(table) for n, table in rows.groupby("task")}


def declared(family: str) -> list:
    """Rows of the table of splits that are scored."""
    table = pd.read_csv(DATA / "splits.csv", keep_default_na=False)
    return list(table[(table.family == family) & table.kind.isin(KINDS)].itertuples())


PARTS = {"targets": score_targets, "ladder": score_splits, "overtraining": score_errors}


def main() -> None:
    """Score what is asked for and update the summary."""
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []])
    parser.add_argument("--json", type=Path, default=Path(__file__).with_name("results.json"))
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    found = json.loads(given.json.read_text()) if given.json.exists() else {}
    for part in given.parts or PARTS:
        made = PARTS[part]()
        found |= made
        print(json.dumps(made, indent=1))
    given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
