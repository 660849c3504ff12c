"""Checkpoints inside the runs of a sweep: kept as they are made, however the run ends."""

import importlib.util
import os
import subprocess
import sys
import textwrap
import time

import pytest

import scaling_laws as sl
from scaling_laws.measurement.runlog import RunLog

WAYS = {
    "here": {},
    "children": {"isolate": True},
    "loky": {"backend": "loky", "workers": 2},
    "children of workers": {"backend": "threading", "isolate": True, "workers": 2},
}


@pytest.fixture
def log(tmp_path):
    return tmp_path / "runs.jsonl"


def make_train():
    def train(params, tokens, checkpoint, ending="ok"):
        import os
        import signal
        import time

        for step in range(1, 5):
            checkpoint(step=step, tokens=tokens * step // 4, loss=3.0 + 1 / step)
        if ending == "raise":
            raise ValueError("bad")
        if ending == "hang":
            time.sleep(60)
        if ending == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        return 3.0

    return train


def checkpoints_of(log):
    return sl.read_log(log, checkpoints=True)


# --------------------------------------------------------------------------- the same, everywhere


@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)
def test_checkpoints_are_rows_of_their_run(options, log):
    cells = sl.grid(params=[10, 20], tokens=[400])
    runs = sl.sweep(make_train(), cells, log=log, checkpoints=True, **options)
    assert runs.loss.tolist() == [3.0, 3.0]
    assert "run" not in runs
    table = checkpoints_of(log).sort_values(["params", "step"])
    assert table.step.tolist() == [1, 2, 3, 4] * 2
    assert table.tokens.tolist() == [100, 200, 300, 400] * 2
    assert table.status.tolist() == ["ok"] * 8
    assert table.groupby("params").run.nunique().tolist() == [1, 1]
    assert table.run.nunique() == 2
    assert (table.groupby("run").seconds.diff().dropna() >= 0).all()
    assert len(sl.read_log(log)) == 2


def test_policies_choose_among_the_checkpoints(log):
    sl.sweep(make_train(), sl.grid(params=[10, 20], tokens=[400]), log=log, checkpoints=True)
    table = checkpoints_of(log)
    last = sl.read_runs(table, policy="last_mean", last=2)
    assert last.loss.tolist() == pytest.approx([3.0 + (1 / 3 + 1 / 4) / 2] * 2)
    assert last[["params", "tokens", "step"]].values.tolist() == [[10, 400, 4], [20, 400, 4]]
    assert len(sl.read_runs(table, policy="all")) == 8


def test_only_the_last_call_is_kept_where_there_are_several(log):
    sl.sweep(make_train(), sl.grid(params=10, tokens=400), log=log, checkpoints=True, warmup=1,
             repeats=2)  # fmt: skip
    assert checkpoints_of(log).step.tolist() == [1, 2, 3, 4]


# --------------------------------------------------------------------------------- runs that fail


@pytest.mark.parametrize(
    ("ending", "status", "options"),
    [
        ("raise", "error", {}),
        ("raise", "error", {"isolate": True}),
        ("hang", "timeout", {"timeout": 4.0}),
        pytest.param(
            "kill", "killed", {"isolate": True},
            marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="signals of POSIX"),
        ),
    ],
)  # fmt: skip
def test_a_run_that_fails_keeps_its_checkpoints(ending, status, options, log):
    cells = [{"params": 10, "tokens": 400, "ending": ending}]
    runs = sl.sweep(make_train(), cells, log=log, checkpoints=True, **options)
    assert runs.status.tolist() == [status]
    assert checkpoints_of(log).step.tolist() == [1, 2, 3, 4]
    assert checkpoints_of(log).status.tolist() == [status] * 4


def test_attempts_are_runs_of_their_own(log):
    cells = [{"params": 10, "tokens": 400, "ending": "raise"}]
    sl.sweep(make_train(), cells, log=log, checkpoints=True, retries=1)
    assert (
        checkpoints_of(log).groupby("run", sort=False).step.apply(list).tolist()
        == [[1, 2, 3, 4]] * 2
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="signals of POSIX")
@pytest.mark.parametrize("isolate", [False, True])
def test_killing_the_process_keeps_checkpoints_and_no_run_is_done_twice(isolate, log):
    code = """
        import os, pathlib, signal, sys, time, scaling_laws as sl
        log = pathlib.Path(sys.argv[1])
        def train(i, checkpoint):
            checkpoint(step=1, loss=4.0)
            if i == 1:
                while log.read_text().count("checkpoint") < 2:  # a child's are on their way
                    time.sleep(0.01)
                os.kill({pid}, signal.SIGKILL)
                time.sleep(60)
            return 1.0
        sl.sweep(train, sl.grid(i=range(3)), log=log, checkpoints=True, isolate={isolate})
    """
    parent = "os.getppid()" if isolate else "os.getpid()"
    code = textwrap.dedent(code.format(pid=parent, isolate=isolate))
    assert subprocess.run([sys.executable, "-c", code, str(log)], timeout=60).returncode < 0
    assert sl.read_log(log).i.tolist() == [0]
    table = checkpoints_of(log)
    assert (table.i.tolist(), table.status.tolist()) == ([0, 1], ["ok", "running"])

    def train(i, checkpoint):
        checkpoint(step=1, loss=5.0)
        return 1.0

    sl.sweep(train, sl.grid(i=range(3)), log=log, checkpoints=True)
    assert sl.read_log(log).i.tolist() == [0, 1, 2]
    table = checkpoints_of(log)
    assert table.i.tolist() == [0, 1, 1, 2]  # what the killed run had measured stays
    assert table.status.tolist() == ["ok", "running", "ok", "ok"]
    assert table.run.nunique() == 4


@pytest.mark.parametrize("isolate", [False, True])
def test_a_checkpoint_that_is_no_number_fails_its_run_only(isolate, log):
    def train(i, checkpoint):
        checkpoint(**({"loss": "low"} if i else {"status": 1}))

    runs = sl.sweep(train, sl.grid(i=range(2)), log=log, checkpoints=True, isolate=isolate)
    assert runs.status.tolist() == ["error"] * 2
    assert "'status' is recorded with every checkpoint" in runs.failure[0]
    assert "checkpoint was given 'low' (str) for metric 'loss'" in runs.failure[1]


def test_a_log_that_takes_no_more_ends_the_sweep_and_the_child(log, monkeypatch):
    def full(*_args, **_options):
        raise sl.MeasureError("no room")

    def train(checkpoint, i):
        import time

        checkpoint(step=1)
        time.sleep(60)

    monkeypatch.setattr(RunLog, "note", full)
    with pytest.raises(sl.MeasureError, match="no room"):
        sl.sweep(train, sl.grid(i=1), log=log, checkpoints=True, isolate=True)


def test_a_thread_that_a_run_left_behind_writes_into_no_other_file(log, tmp_path):
    kept = []

    def train(i, checkpoint):
        kept.append(checkpoint)
        return 1.0

    sl.sweep(train, sl.grid(i=1), log=log, checkpoints=True)
    with (tmp_path / "other").open("wb") as other:  # the system gives it the number of the log
        with pytest.raises(sl.MeasureError, match="did not take a checkpoint"):
            kept[0](step=1)
        assert other.tell() == 0
    assert (tmp_path / "other").read_bytes() == b""


# --------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("train", "cells", "options", "message"),
    [
        (lambda i, checkpoint: 1.0, {"i": 1}, {"log": None}, "needs log="),
        (lambda i: 1.0, {"i": 1}, {}, "does not take"),
        (lambda **_: 1.0, {"checkpoint": 1}, {}, "has 'checkpoint'"),
        (lambda **_: 1.0, {"run": 1}, {}, "has 'run'"),
        (lambda **_: 1.0, {"i": 1}, {"checkpoints": 10}, "True or False, got 10"),
    ],
)
def test_checkpoints_that_cannot_be_kept_are_refused_before_training(
    train, cells, options, message, log
):
    with pytest.raises(sl.MeasureError, match=message):
        sl.sweep(train, [cells], **{"log": log, "checkpoints": True, **options})
    assert not log.exists()


def test_without_checkpoints_train_is_called_as_before(log):
    runs = sl.sweep(lambda i, checkpoint=None: float(checkpoint is None), sl.grid(i=1), log=log)
    assert runs.loss[0] == 1.0


# ------------------------------------------------------------------------------ two on one log


@pytest.mark.skipif(importlib.util.find_spec("fcntl") is None, reason="locks of POSIX")
def test_of_two_sweeps_on_one_log_the_second_is_refused_and_nothing_is_lost(log):
    """An own loop may append meanwhile, and a sweep that was killed locks nobody out."""
    code = (
        "import sys, time, scaling_laws as sl\n"
        "def train(i, checkpoint):\n"
        "    checkpoint(step=1, loss=2.0)\n"
        "    time.sleep(60 if i else 0)\n"
        "    return 1.0\n"
        "sl.sweep(train, sl.grid(i=range(2)), log=sys.argv[1], checkpoints=True)\n"
    )
    first = subprocess.Popen([sys.executable, "-c", code, str(log)])
    try:
        deadline = time.monotonic() + 60
        while not log.exists() or log.read_text().count("checkpoint") < 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with pytest.raises(sl.MeasureError, match=r"in use by another sweep.*its own file"):
            sl.sweep(lambda i: pytest.fail("trained"), sl.grid(i=range(3)), log=log)
        with sl.record(log, i=9) as run:
            run.result(loss=5.0)
    finally:
        first.kill()
        first.wait()
    runs = sl.sweep(lambda i: 1.0 + i, sl.grid(i=range(3)), log=log)
    assert runs.loss.tolist() == [1.0, 2.0, 3.0]
    assert sl.read_log(log).i.tolist() == [0, 9, 1, 2]
    assert checkpoints_of(log).i.tolist() == [0, 1]
