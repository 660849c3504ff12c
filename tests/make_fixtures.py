"""Log the same three runs with the real tools, into ``tests/fixtures``; the tests need no tool.

``python tests/make_fixtures.py`` with mlflow-skinny, wandb, tensorboardX, tbparse, lightning,
transformers, accelerate and torch installed; ``python tests/make_fixtures.py mlflow`` makes one
folder again. Nothing leaves the machine: the trackers write to local files.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

RUNS = ("run-a", "run-b", "run-c")
PARAMS = {"run-a": 12_000_000.0, "run-b": 35_500_000.0, "run-c": 210_000_000.0}
TOKENS = {"run-a": 4000.0, "run-b": 12_000.0, "run-c": 40_000.0}
LOSS = {"run-a": 4.125, "run-b": 3.5, "run-c": 2.875}  # exact in half precision too
RATE = {"run-a": 0.003, "run-b": 0.002, "run-c": 0.001}
STEPS = 40
EVERY = 10  # steps between evaluations; training is logged at other steps
HERE = Path(__file__).parent / "fixtures"


def loss_at(run, step):
    """A curve that ends at the run's loss."""
    return LOSS[run] + (STEPS - step) / STEPS


def events(run):
    """What is logged at which step, evaluation and training on steps of their own."""
    for step in range(0, STEPS + 1):
        if step % 4 == 0:
            seen = TOKENS[run] * step / STEPS
            yield step, {"train/loss": loss_at(run, step) - 0.1, "tokens": seen, "lr": RATE[run]}
        if step % EVERY == 0:
            yield step, {"eval/loss": loss_at(run, step)}


def mlflow(folder):
    """The table of ``search_runs`` and the histories that its client returns."""
    import mlflow as tool
    import pandas as pd

    with tempfile.TemporaryDirectory() as store:
        os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
        tool.set_tracking_uri(f"file:{store}")
        tool.set_experiment("sweep")
        for run in RUNS:
            with tool.start_run(run_name=run):
                tool.log_params({"n_params": int(PARAMS[run]), "learning_rate": RATE[run]})
                for step, values in events(run):
                    tool.log_metrics({k.replace("/", "_"): v for k, v in values.items()}, step=step)
        table = tool.search_runs()
        client = tool.MlflowClient()
        history = [
            dict(metric)
            for run_id in table["run_id"]
            for key in ("eval_loss", "tokens", "lr")
            for metric in client.get_metric_history(run_id, key)
        ]
        drop = [c for c in table if c.startswith("tags.mlflow.") and c != "tags.mlflow.runName"]
        table = table.drop(columns=drop).assign(artifact_uri="artifacts")
        table.to_csv(folder / "search_runs.csv", index=False)
        pd.DataFrame(history).to_csv(folder / "metric_history.csv", index=False)


def wandb(folder):
    """Histories as ``scan_history`` yields them, read back from the files of offline runs."""
    import pandas as pd
    import wandb as tool
    from wandb.proto import wandb_internal_pb2

    with tempfile.TemporaryDirectory() as store:
        for run in RUNS:
            config = {"n_params": int(PARAMS[run])}
            settings = tool.Settings(console="off", x_disable_stats=True, silent=True)
            with tool.init(project="p", dir=store, name=run, mode="offline", config=config,
                           settings=settings) as log:  # fmt: skip
                for step, values in events(run):
                    log.log(values, step=step)
        for run, path in zip(RUNS, sorted(Path(store).rglob("*.wandb"), key=os.path.getmtime),
                             strict=True):  # fmt: skip
            rows = []
            for found in _chunks(path.read_bytes()):
                record = wandb_internal_pb2.Record()
                record.ParseFromString(found)
                items = record.history.item
                row = {i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in items}
                if row:
                    rows.append(row)
            pd.DataFrame(rows).to_csv(folder / f"{run}.csv", index=False)


def _chunks(content):
    """Records of a W&B file: LevelDB's log format, in blocks of 32 KiB, after seven bytes."""
    position, whole = 7, b""
    while position + 7 <= len(content):
        left = 32768 - position % 32768
        if left < 7:  # the rest of a block that holds no header
            position += left
            continue
        length = int.from_bytes(content[position + 4 : position + 6], "little")
        kind = content[position + 6]  # 1 whole, 2 first, 3 middle, 4 last
        whole += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):
            yield whole
            whole = b""


def tensorboard(folder):
    """Event files, and the table of scalars that tbparse makes of them."""
    from tbparse import SummaryReader
    from tensorboardX import SummaryWriter

    for run in RUNS:
        with SummaryWriter(str(folder / "events" / run)) as writer:
            for step, values in events(run):
                for name, value in values.items():
                    writer.add_scalar(name, value, step)
    reader = SummaryReader(str(folder / "events"), extra_columns={"dir_name"})
    reader.scalars.to_csv(folder / "scalars.csv", index=False)


def lightning(folder):
    """``metrics.csv`` of the CSV logger under a real trainer."""
    import torch
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.loggers import CSVLogger

    class Toy(LightningModule):
        def __init__(self, run):
            super().__init__()
            self.run, self.weight = run, torch.nn.Parameter(torch.zeros(()))

        def training_step(self, _batch, index):
            seen = TOKENS[self.run] * (self.global_step + 1) / STEPS
            loss = 0 * self.weight + loss_at(self.run, self.global_step)
            self.log_dict({"train_loss": loss, "tokens": seen, "lr": RATE[self.run]})
            return loss

        def validation_step(self, _batch, _index):
            self.log("val_loss", loss_at(self.run, self.global_step))

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=RATE[self.run])

    data = torch.utils.data.DataLoader(torch.zeros(STEPS, 1))
    check = torch.utils.data.DataLoader(torch.zeros(2, 1))
    with tempfile.TemporaryDirectory() as store:
        for run in RUNS:
            trainer = Trainer(
                max_steps=STEPS, val_check_interval=EVERY, log_every_n_steps=4,
                num_sanity_val_steps=0, logger=CSVLogger(store, name=run, version=""),
                accelerator="cpu", enable_checkpointing=False, enable_progress_bar=False,
                enable_model_summary=False,
            )  # fmt: skip
            trainer.fit(Toy(run), data, check)
            home = folder / run
            home.mkdir(parents=True)
            shutil.copy(Path(trainer.logger.log_dir) / "metrics.csv", home)


def transformers(folder):
    """``trainer_state.json`` of the Trainer, saved with its last checkpoint."""
    import torch
    from transformers import Trainer, TrainingArguments

    class Toy(torch.nn.Module):
        main_input_name = "input_ids"

        def __init__(self, run):
            super().__init__()
            self.run, self.step = run, lambda: 0
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, input_ids, labels=None):
            return {"loss": 0 * self.weight.sum() + loss_at(self.run, self.step())}

    class Rows(torch.utils.data.Dataset):
        def __init__(self, count, width):
            self.count, self.width = count, width

        def __len__(self):
            return self.count

        def __getitem__(self, _index):
            ids = torch.zeros(self.width, dtype=torch.long)
            return {"input_ids": ids, "labels": ids}

    for run in RUNS:
        with tempfile.TemporaryDirectory() as store:
            arguments = TrainingArguments(
                store, max_steps=STEPS, learning_rate=RATE[run], lr_scheduler_type="constant",
                eval_strategy="steps", eval_steps=EVERY, logging_steps=4, save_steps=STEPS,
                per_device_train_batch_size=1, per_device_eval_batch_size=1, report_to=[],
                include_num_input_tokens_seen=True, use_cpu=True, disable_tqdm=True,
                prediction_loss_only=True,
            )  # fmt: skip
            toy = Toy(run)
            trainer = Trainer(
                toy, arguments, train_dataset=Rows(STEPS, int(TOKENS[run] / STEPS)),
                eval_dataset=Rows(2, 8),
            )  # fmt: skip
            toy.step = lambda state=trainer: state.state.global_step
            trainer.train()
            home = folder / run / f"checkpoint-{STEPS}"
            home.mkdir(parents=True)
            shutil.copy(Path(store) / home.name / "trainer_state.json", home)


def excel(folder):
    """A sheet as people keep it: a title, a gap, text with units, numbers, a second empty sheet."""
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    sheet.append(["Sweep, of May"])
    sheet.append([])
    sheet.append(["Name", "Model Size", "tokens", "lr", "val loss"])
    for run in RUNS:
        sheet.append([run, f"{PARAMS[run] / 1e6:g}M", int(TOKENS[run]), RATE[run], LOSS[run]])
    book.create_sheet("notes")
    book.save(folder / "sweep.xlsx")


TOOLS = (mlflow, wandb, tensorboard, lightning, transformers, excel)


def main(wanted):
    """Make the folders of the tools that are named, or of all."""
    for tool in TOOLS:
        if not wanted or tool.__name__ in wanted:
            folder = HERE / tool.__name__
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            tool(folder)


if __name__ == "__main__":
    main(sys.argv[1:])
