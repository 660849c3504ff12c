"""What the real tools wrote (``make_fixtures.py``) gives the same table of runs from each of them.

Made with mlflow-skinny 3.17, wandb 0.31, tensorboardX 2.6, tbparse 0.0.9, lightning 2.6 and
transformers 5.24; none of them is needed here.
"""

from __future__ import annotations

import import_shapes
import pandas as pd
import pytest
from make_fixtures import EVERY, HERE, LOSS, PARAMS, RATE, RUNS, STEPS, TOKENS, loss_at

import scaling_laws as sl
from scaling_laws.data.read_report import read_report

TRUTH = pd.DataFrame(
    [[PARAMS[r], TOKENS[r], LOSS[r], RATE[r]] for r in RUNS],
    index=pd.Index(RUNS, name="run"),
    columns=["params", "tokens", "loss", "learning_rate"],
)
SIZES = {"constants": {r: {"params": PARAMS[r]} for r in RUNS}}


def run_ids():
    """MLflow's own names of the runs."""
    table = pd.read_csv(HERE / "mlflow" / "search_runs.csv")
    return dict(zip(table["run_id"], table["tags.mlflow.runName"], strict=True))


def sources():
    by_id = {"constants": {i: {"params": PARAMS[r]} for i, r in run_ids().items()}}
    board = HERE / "tensorboard"
    return {
        "mlflow": (HERE / "mlflow" / "search_runs.csv", {}),
        "metric_history": (HERE / "mlflow" / "metric_history.csv", by_id),
        "wandb_history": ([HERE / "wandb" / f"{r}.csv" for r in RUNS], SIZES),
        "scalars": (board / "scalars.csv", SIZES),
        "tensorboard": (board / "events", SIZES),
        "lightning": (HERE / "lightning", SIZES),
        "trainer_state": (HERE / "transformers", SIZES),
    }


def read(name, **options):
    if name == "tensorboard":
        pytest.importorskip("tbparse")
    source, given = sources()[name]
    frame = sl.read_runs(source, **given, **options)
    return frame.assign(run=frame.run.replace(run_ids()))


@pytest.mark.parametrize("name", sources())
def test_every_tool_gives_the_same_table(name):
    frame = read(name)
    found = frame.set_index("run")[list(TRUTH)].sort_index()
    pd.testing.assert_frame_equal(
        found, TRUTH, check_dtype=False, check_index_type=False, rtol=1e-7  # floats of 32 bits
    )  # fmt: skip
    assert import_shapes.accounted(frame)
    assert read_report(frame).dropped == 0
    assert "status" not in frame or set(frame.status) <= {"ok", "finished"}
    wanted = "metric_history" if name == "scalars" else name
    assert read_report(frame).format == wanted


@pytest.mark.parametrize("name", [n for n in sources() if n != "mlflow"])
def test_every_tool_gives_the_same_checkpoints(name):
    frame = read(name, policy="all")
    for run in RUNS:
        losses = frame.loss[frame.run == run].tolist()
        steps = range(0, STEPS + 1, EVERY)
        wanted = [loss_at(run, step) for step in steps]
        if name in ("lightning", "trainer_state"):  # they evaluate after training steps only
            wanted = wanted[1:]
        assert losses == pytest.approx(wanted)


def test_nothing_in_the_fixtures_tells_where_they_were_made():
    for path in HERE.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert len(content) < 50_000
            assert not any(word in content for word in (b"/tmp/", b"/home/", b"/root/", b"C:\\"))
