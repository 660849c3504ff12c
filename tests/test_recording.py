"""Logs of own training loops, logs of several files, and disks that cannot be used."""

import importlib.util
import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest

import scaling_laws as sl
from scaling_laws.measurement.recording import record, recorded
from scaling_laws.measurement.runlog import RunLog


@pytest.fixture
def log(tmp_path):
    return tmp_path / "runs.jsonl"


# ------------------------------------------------------------------------------------- own loops


def test_own_loops_are_logged_like_runs_of_a_sweep(log):
    with record(log, params=1000, tokens=50, seed=0) as run:
        for step in range(3):
            run.log(step=step, tokens=10 * step, loss=2.0 / (step + 1))
        running = sl.read_log(log, checkpoints=True)
        assert len(sl.read_log(log)) == 0
        run.result(np.float32(0.5))
        run.result(accuracy=0.9)
    assert running.status.tolist() == ["running"] * 3
    assert running.tokens.tolist() == [0, 10, 20]
    runs = sl.read_log(log)
    assert runs[["loss", "accuracy", "status", "flops"]].values.tolist() == [
        [0.5, 0.9, "ok", 300000.0]
    ]
    assert (
        sl.sweep(
            lambda **_: pytest.fail("trained"), sl.grid(params=1000, tokens=50, seed=0), log=log
        ).loss[0]
        == 0.5
    )
    after = sl.read_log(log, checkpoints=True)
    assert after.status.tolist() == ["ok"] * 3
    assert len(set(after.run)) == 1
    assert (np.diff(after.seconds) > 0).all()


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (ValueError("bad"), "error"),
        (MemoryError(), "out_of_memory"),
        (RuntimeError("CUDA out of memory. Tried"), "out_of_memory"),
        (KeyboardInterrupt(), "killed"),
    ],
)
def test_an_own_loop_that_fails_is_logged_and_still_raises(log, failure, status):
    def train():
        with record(log, width=1) as run:
            run.log(loss=3.0)
            raise failure

    with pytest.raises(type(failure)):
        train()
    runs = sl.read_log(log)
    assert runs.status.tolist() == [status]
    assert "loss" not in runs
    assert sl.read_log(log, checkpoints=True).status.tolist() == [status]


def test_the_last_checkpoint_is_the_result_where_none_is_given(log):
    with record(log, tokens=10) as run:
        run.log(tokens=5, loss=3.0)
        run.log(tokens=10, loss=math.nan)
    with record(log, tokens=20):
        pass
    runs = sl.read_log(log)
    assert runs.status.tolist() == ["nan", "error"]
    assert runs.tokens.tolist() == [10, 20]
    assert runs.failure[1] == "the run gave no result"


def test_own_loops_refuse(log):
    with pytest.raises(sl.MeasureError, match="configuration has seconds"):
        record(log, seconds=3)
    run = record(log, width=1)
    with pytest.raises(sl.MeasureError, match="inside its with block"):
        run.log(loss=1.0)
    with run:
        with pytest.raises(sl.MeasureError, match="in use"):
            run.__enter__()
        with pytest.raises(sl.MeasureError, match="log was given '3'"):
            run.log(loss="3")
        with pytest.raises(sl.MeasureError, match="'status' is recorded"):
            run.log(status=3)
        with pytest.raises(sl.MeasureError, match="metrics are named width"):
            run.result(width=3)
        with pytest.raises(sl.MeasureError, match="empty mapping"):
            run.result()
        run.result(1.0)
    assert sl.read_log(log).loss.tolist() == [1.0]


def test_decorated_functions_return_and_raise_as_before(log):
    model = object()

    @recorded(log, ignore=("model",))
    def train(model, width, *, seed=0, **more):
        """Trains."""
        if width < 0:
            raise ValueError("negative")
        return {"loss": 1 / width}

    assert train(model, 4, depth=2) == {"loss": 0.25}
    with pytest.raises(ValueError, match="negative"):
        train(model, width=-1)
    assert (train.__name__, train.__doc__) == ("train", "Trains.")
    runs = sl.read_log(log)
    assert runs.status.tolist() == ["ok", "error"]
    assert runs[["width", "seed"]].values.tolist() == [[4, 0], [-1, 0]]
    assert runs.depth[0] == 2
    with pytest.raises(sl.MeasureError, match="the function returned None"):
        recorded(log)(lambda: None)()


def test_several_processes_append_to_one_log(log):
    code = (
        "import sys; from scaling_laws.measurement.recording import record\n"
        "for i in range(20):\n"
        "    with record(sys.argv[1], worker=int(sys.argv[2]), i=i) as run:\n"
        "        run.log(step=1, loss=2.0); run.result(1.0)\n"
    )
    workers = [
        subprocess.Popen([sys.executable, "-c", code, str(log), str(number)]) for number in range(3)
    ]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0, 0]
    runs = sl.read_log(log)
    assert len(runs) == 60
    assert runs.attrs["torn_lines"] == []
    assert len(sl.read_log(log, checkpoints=True)) == 60


def test_logs_of_a_directory_are_read_together(tmp_path):
    for task in range(3):
        sl.sweep(lambda i: i, sl.grid(i=range(4))[task::3], log=tmp_path / f"{task}.jsonl")
    with (tmp_path / "1.jsonl").open("ab") as file:
        file.write(b'{"config": {"i"')
    runs = sl.read_log(tmp_path)
    assert runs.i.tolist() == [0, 3, 1, 2]
    assert runs.attrs["torn_lines"] == ["1.jsonl:2"]


def test_logs_of_before_are_read(log):
    old = {
        **{"config": {"width": 4}, "metrics": {"loss": 0.1}, "status": "ok", "error": ""},
        **{"seconds": 1.5, "cpu_seconds": 1.25, "peak_memory": "nan"},
        **{"peak_memory_source": "unknown", "started": "2026-01-01", "versions": {}},
    }
    log.write_text(json.dumps(old) + "\n")
    runs = sl.sweep(lambda width: pytest.fail("trained"), sl.grid(width=4), log=log)
    assert (runs.loss[0], runs.attempt[0], runs.flops_source[0]) == (0.1, 1, "")
    assert math.isnan(runs.device_memory[0])


# -------------------------------------------------------------------- disks that cannot be used


def never(width):
    pytest.fail("trained")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_device_is_not_a_log():
    with pytest.raises(sl.MeasureError, match="not a file on a disk"):
        sl.sweep(never, sl.grid(width=1), log="/dev/full")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits of POSIX")
def test_a_disk_that_takes_nothing_is_told_before_training(log):
    """The limit on file sizes makes real writes fail, as a full disk or a quota does."""
    code = (
        "import resource, sys, scaling_laws as sl\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)\n"
        "def train(width):\n    print('trained'); return 1.0\n"
        "try:\n    sl.sweep(train, sl.grid(width=1), log=sys.argv[1])\n"
        "except sl.MeasureError as error:\n    print(error)\n"
    )

    def shown(limit):
        done = subprocess.run(
            [sys.executable, "-c", code, str(log), str(limit)], capture_output=True, text=True
        )
        return done.stdout

    assert "cannot be written: File too large. Nothing was trained" in shown(100)
    assert log.read_bytes() == b""
    assert shown(10**6) == "trained\n"


def test_a_full_disk_is_told_before_training(log, monkeypatch):
    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(sl.MeasureError, match=r"No space left on device\. Nothing was trained"):
        sl.sweep(never, sl.grid(width=1), log=log)
    with pytest.raises(sl.MeasureError, match="No space left"), record(log, width=1):
        pytest.fail("trained")


def test_a_read_only_directory_is_told_before_training(tmp_path, monkeypatch):
    tmp_path.chmod(0o555)
    if os.access(tmp_path, os.W_OK):  # the superuser may write anywhere

        def refuse(*_args, **_options):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(sl.MeasureError, match=r"Permission denied\. Nothing was trained"):
        sl.sweep(never, sl.grid(width=1), log=tmp_path / "runs.jsonl")
    monkeypatch.undo()
    tmp_path.chmod(0o755)


def test_the_probe_of_the_disk_leaves_nothing(tmp_path):
    with RunLog(tmp_path / "runs.jsonl"):
        assert [path.name for path in tmp_path.iterdir()] == ["runs.jsonl"]


@pytest.mark.skipif(importlib.util.find_spec("fcntl") is None, reason="locks of POSIX")
def test_two_sweeps_do_not_share_a_log(log):
    with (
        RunLog(log, exclusive=True),
        pytest.raises(sl.MeasureError, match="in use by another sweep"),
    ):
        sl.sweep(never, sl.grid(width=1), log=log)
    assert sl.sweep(lambda width: 1.0, sl.grid(width=1), log=log).status[0] == "ok"
