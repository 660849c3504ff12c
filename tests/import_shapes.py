"""The same three runs as every tool would write them; used by the tests of reading."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from scaling_laws.data.read_report import read_report

PARAMS = {"run-a": 12_000_000.0, "run-b": 35_500_000.0, "run-c": 210_000_000.0}
TOKENS = {"run-a": 240e6, "run-b": 710e6, "run-c": 4.2e9}
LOSS = {"run-a": 4.125, "run-b": 3.5, "run-c": 2.875}
RATE = {"run-a": 3e-3, "run-b": 2e-3, "run-c": 1e-3}
RUNS = tuple(PARAMS)
STEPS = 1000
EVALS = (0, 250, 500, 750, 1000)  # every one of them; training is logged at other steps
TRAIN = (0, 100, 300, 450, 600, 800, 900, 1000)


def loss_at(run, step):
    """A curve that ends at the run's loss."""
    return LOSS[run] + (STEPS - step) / 1000


def write_csv(path, header, rows):
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return Path(path)


def plain(folder):
    rows = [[r, f"{PARAMS[r]:.0f}", TOKENS[r], RATE[r], LOSS[r]] for r in RUNS]
    return write_csv(folder / "plain.csv", ["run", "N", "D", "lr", "loss"], rows), {}


def json_lines(folder):
    path = folder / "runs.jsonl"
    lines = [
        {"run_id": r, "n_params": int(PARAMS[r]), "n_tokens": int(TOKENS[r]), "lr": RATE[r],
         "eval_loss": LOSS[r]}
        for r in RUNS
    ]  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path, {}


def json_columns(folder):
    path = folder / "runs.json"
    table = {
        "run": list(RUNS), "params": list(PARAMS.values()), "tokens": list(TOKENS.values()),
        "learning_rate": list(RATE.values()), "loss": list(LOSS.values()),
    }  # fmt: skip
    path.write_text(json.dumps(table))
    return path, {}


def tracker_metrics(folder):
    """One line a run, as a framework's own logger writes it (needs.md, section 5)."""
    path = folder / "tracker_metrics.jsonl"
    lines = [
        {
            "config": {"optimizer": {"learning_rate": RATE[r]}, "run_id": r},
            "summary": {
                "throughput/total_tokens": TOKENS[r],
                "throughput/total_gflops": 6 * PARAMS[r] * TOKENS[r] / 1e9,
                "parameter_count": PARAMS[r],
                "eval/loss": LOSS[r],
                "train/loss": LOSS[r] - 0.1,
            },
        }
        for r in RUNS
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path, {}


def wandb_history(folder):
    """One file a run: a row per logging call, blank where a metric was not logged."""
    paths = []
    for r in RUNS:
        rows = []
        for step in sorted({*EVALS, *TRAIN}):
            train = step in TRAIN
            tokens = TOKENS[r] * step / STEPS if train else ""
            rate = RATE[r] * min(1.0, (STEPS - step) / 900) if train else ""
            loss = loss_at(r, step) if step in EVALS else ""
            rows.append([step, step * 2.0, 1.7e9 + step, loss - 0.1 if train and loss else "",
                         tokens, rate, loss])  # fmt: skip
        header = ["_step", "_runtime", "_timestamp", "train/loss", "throughput/total_tokens",
                  "train/learning_rate", "eval/loss"]  # fmt: skip
        paths.append(write_csv(folder / f"{r}.csv", header, rows))
    return paths, {"constants": {r: {"params": PARAMS[r]} for r in RUNS}}


def wandb_runs(folder):
    """The table of runs as the web page exports it."""
    rows = [[r, "finished", "", "me", 2000, PARAMS[r], RATE[r], 1000, TOKENS[r], LOSS[r]]
            for r in RUNS]  # fmt: skip
    header = ["Name", "State", "Notes", "User", "Runtime", "num_params", "lr", "_step",
              "throughput/total_tokens", "eval/loss"]  # fmt: skip
    return write_csv(folder / "wandb_export.csv", header, rows), {}


def wandb_api(folder):
    """The documented recipe: dicts of summary and config, printed into cells."""
    rows = [
        [str({"eval/loss": LOSS[r], "tokens": TOKENS[r], "_step": 1000}),
         str({"n_params": int(PARAMS[r]), "optim": {"lr": RATE[r]}, "tied": True}), r]
        for r in RUNS
    ]  # fmt: skip
    path = write_csv(folder / "project.csv", ["summary", "config", "name"], rows)
    return path, {"columns": {"learning_rate": "optim.lr"}}


def wandb_chart(folder):
    header = ["Step"]
    for r in RUNS:
        header += [f"{r} - eval/loss", f"{r} - eval/loss__MIN", f"{r} - eval/loss__MAX"]
    rows = [[step, *[x for r in RUNS for x in [loss_at(r, step)] * 3]] for step in EVALS]
    path = write_csv(folder / "chart.csv", header, rows)
    return path, {
        "constants": {
            r: {"params": PARAMS[r], "tokens": TOKENS[r], "learning_rate": RATE[r]} for r in RUNS
        }
    }


def mlflow(folder):
    header = ["run_id", "experiment_id", "status", "artifact_uri", "start_time",
              "metrics.eval_loss", "metrics.loss", "params.n_params", "params.tokens",
              "params.lr", "params.note",
              "tags.mlflow.runName"]  # fmt: skip
    rows = [[r, "1", "FINISHED", "x", "2026-01-01", LOSS[r], LOSS[r] - 0.1, str(int(PARAMS[r])),
             str(TOKENS[r]), str(RATE[r]), "", r] for r in RUNS]  # fmt: skip
    return write_csv(folder / "mlflow.csv", header, rows), {}


def metric_history(folder):
    """MLflow's metric history: one row a value."""
    rows = []
    for r in RUNS:
        rows += [[r, 1.7e12 + s, s, "eval_loss", loss_at(r, s)] for s in EVALS]
        rows += [[r, 1.7e12 + s, s, "tokens", TOKENS[r] * s / STEPS] for s in TRAIN]
        rows += [[r, 1.7e12 + s, s, "lr", RATE[r]] for s in TRAIN]
    path = write_csv(folder / "h.csv", ["run_id", "timestamp", "step", "key", "value"], rows)
    return path, {"constants": {r: {"params": PARAMS[r]} for r in RUNS}}


def trainer_state(folder):
    """Hugging Face: a folder a run, in it one of its checkpoints."""
    for r in RUNS:
        log = [
            {"loss": loss_at(r, s) - 0.1, "learning_rate": RATE[r] * (1 - s / 2000),
             "epoch": s / 1e3,             "grad_norm": 1.0, "step": s,
    "num_input_tokens_seen": int(TOKENS[r] * s / STEPS)}
            for s in TRAIN
        ]  # fmt: skip
        log += [{"eval_loss": loss_at(r, s), "eval_runtime": 3.0, "step": s} for s in EVALS]
        log.sort(key=lambda record: record["step"])
        log.append({"train_loss": 4.0, "train_runtime": 9.0, "total_flos": 0.0, "step": STEPS})
        home = folder / "hf" / r / "checkpoint-1000"
        home.mkdir(parents=True)
        state = {"best_metric": None, "global_step": STEPS, "log_history": log, "total_flos": 0.0,
                 "num_input_tokens_seen": int(TOKENS[r])}  # fmt: skip
        (home / "trainer_state.json").write_text(json.dumps(state))
    return folder / "hf", {"constants": {r: {"params": PARAMS[r]} for r in RUNS}}


def lightning(folder):
    """Lightning's CSV logger: training and validation on separate rows of one step."""
    for r in RUNS:
        rows = []
        for s in sorted({*EVALS, *TRAIN}):
            if s in TRAIN:
                rows.append([s // 500, s, TOKENS[r] * s / STEPS, loss_at(r, s) - 0.1, "", RATE[r]])
            if s in EVALS:
                rows.append([s // 500, s, "", "", loss_at(r, s), ""])
        home = folder / "lightning_logs" / r
        home.mkdir(parents=True)
        header = ["epoch", "step", "tokens", "train_loss", "val_loss", "lr"]
        write_csv(home / "metrics.csv", header, rows)
    return folder / "lightning_logs", {"constants": {r: {"params": PARAMS[r]} for r in RUNS}}


def spreadsheet(folder):
    """A title, a gap, rows that head groups, units in cells and headers, trailing columns."""
    lines = ["Sweep of May;;;;;;", ";;;;;;", "Model Size;tokens (M);lr;val loss;Name of run;;"]
    sizes = {"run-a": "12M", "run-b": "35,5M", "run-c": "210 M"}
    for r in RUNS:
        lines.append(f"{sizes[r]};;;;;;")
        lines.append(f";{TOKENS[r] / 1e6:.0f};;;;;")
        lines.append(
            f";;{RATE[r]:.0E};{LOSS[r]};{r};;".replace(f"{LOSS[r]}", f"{LOSS[r]}".replace(".", ","))
        )
    path = folder / "sweep.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    return path, {"columns": {"run": "Name of run"}}


SHAPES = (
    plain, json_lines, json_columns, tracker_metrics, wandb_history, wandb_runs, wandb_api,
    wandb_chart, mlflow, metric_history, trainer_state, lightning, spreadsheet,
)  # fmt: skip


def accounted(frame):
    """Whether the steps of the report add up to the rows of the table."""
    report = read_report(frame)
    return report.rows_read + sum(s.rows for s in report.steps) == report.rows_kept == len(frame)


def csv_file(folder, text, name="runs.csv"):
    """Path of a file with this content."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path
