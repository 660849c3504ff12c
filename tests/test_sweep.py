import importlib.util
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scaling_laws as sl
from scaling_laws.measurement.configuration import RESERVED
from scaling_laws.measurement.meter import memory_peak
from scaling_laws.measurement.runlog import read_records

TIMED = ["seconds", "first_seconds", "cpu_seconds", "peak_memory", "started"]
MB = 1e6


def make_train(directory=None):
    """A training function pickled by value; it counts its calls in a directory."""

    def train(width, mode="ok"):
        import os
        import time

        if directory is not None:
            open(os.path.join(directory, f"{width:g}-{time.time_ns()}"), "w").close()
        if mode == "raise":
            raise ValueError(f"first line\nwidth {width} is bad")
        if mode == "sleep":
            time.sleep(60)
        if mode == "kill":
            os.kill(os.getpid(), 9)
        if mode == "leave":
            os._exit(7)
        if mode == "exit":
            raise SystemExit("bye")
        if mode == "memory":
            raise MemoryError
        return {"loss": float("nan") if mode == "nan" else 1 / width / 3, "cost": width}

    return train


def calls(directory):
    return sorted(int(path.name.split("-")[0]) for path in directory.iterdir())


def modes(*names):
    return [{"width": index + 1, "mode": name} for index, name in enumerate(names)]


@pytest.fixture
def log(tmp_path):
    return tmp_path / "runs.jsonl"


@pytest.fixture
def marks(tmp_path):
    directory = tmp_path / "marks"
    directory.mkdir()
    return directory


# ---------------------------------------------------------------------------------------- grid


def test_grid_takes_scalars_arrays_and_generators():
    cells = sl.grid(a=np.array([1, 2]), b="text", c=(x for x in (0.5, None)), d=np.float64(2))
    assert cells[0] == {"a": 1, "b": "text", "c": 0.5, "d": 2.0}
    assert cells[1] == {"a": 1, "b": "text", "c": None, "d": 2.0}
    assert len(cells) == 4
    assert type(cells[0]["a"]) is int


@given(
    st.dictionaries(
        st.sampled_from("abcd"), st.lists(st.integers(), min_size=1, max_size=4), min_size=1
    )
)
def test_grid_is_the_product_last_axis_fastest(axes):
    cells = sl.grid(**axes)
    assert len(cells) == math.prod(map(len, axes.values()))
    positions = [tuple(cell[name] for name in axes) for cell in cells]
    last = list(axes)[-1]
    assert [cell[last] for cell in cells[: len(axes[last])]] == axes[last]
    assert set(positions) == set(positions) & {tuple(cell.values()) for cell in cells}


def test_empty_grids_are_refused():
    with pytest.raises(sl.MeasureError, match="axis 'b' of the grid has no values"):
        sl.grid(a=[1], b=[])
    with pytest.raises(sl.MeasureError, match="at least one axis"):
        sl.grid()


# ------------------------------------------------------------------------------ what went wrong


def test_a_failing_point_is_a_row():
    cells = modes("ok", "raise", "nan", "exit", "memory", "ok")
    runs = sl.sweep(make_train(), cells)
    assert runs.status.tolist() == ["ok", "error", "nan", "error", "out_of_memory", "ok"]
    assert runs.failure[1] == "ValueError: width 2 is bad"
    assert runs.failure[3] == "SystemExit: bye"
    assert runs.loss.isna().tolist() == [False, True, True, True, True, False]
    assert list(runs.columns) == ["width", "mode", "loss", "cost", *RESERVED]
    assert runs.started.is_monotonic_increasing
    assert runs.versions[0].startswith("python 3.")


def test_a_child_that_dies_or_hangs_is_a_row(log):
    cells = modes("ok", "kill", "sleep", "leave", "ok")
    runs = sl.sweep(make_train(), cells, timeout=2.5, workers=2, log=log)
    assert runs.status.tolist() == ["ok", "killed", "timeout", "error", "ok"]
    assert "SIGKILL" in runs.failure[1]
    assert runs.failure[2] == "no result within 2.5 s"
    assert "exit code 7" in runs.failure[3]
    assert sorted(sl.read_log(log).width) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "train returned None; return a number"),
        ("0.5", "'0.5' (str)"),
        ({"loss": "low"}, "for metric 'loss'"),
        ({"loss": True}, "for metric 'loss'"),
        ({}, "empty mapping"),
        ({1: 2.0}, "metric name 1"),
        (np.array([1.0, 2.0]), "(ndarray)"),
        (1j, "(complex)"),
    ],
)
def test_answers_that_are_not_numbers(answer, message):
    runs = sl.sweep(lambda width: answer, sl.grid(width=1))
    assert runs.status[0] == "error"
    assert message in runs.failure[0]


@pytest.mark.parametrize("answer", [2, 2.0, np.float32(2), np.int64(2), np.array([2.0])])
def test_answers_that_are(answer):
    assert sl.sweep(lambda width: answer, sl.grid(width=1)).loss[0] == 2


# ------------------------------------------------------------------------------------ isolation


def test_same_table_with_one_worker_and_with_two(tmp_path):
    cells = modes("ok", "raise", "nan", "ok", "ok")
    here = sl.sweep(make_train(), cells)
    one = sl.sweep(make_train(), cells, isolate=True)
    two = sl.sweep(make_train(), cells, workers=2, log=tmp_path / "two.jsonl")
    again = sl.sweep(make_train(), cells, log=tmp_path / "two.jsonl")
    dropped = [*TIMED, "versions"]
    for other in (one, two, again):
        pd.testing.assert_frame_equal(here.drop(columns=dropped), other.drop(columns=dropped))
    pd.testing.assert_frame_equal(two, again)


def test_children_load_nothing_of_ours_but_the_runner():
    def train(width):
        import sys

        ours = {name for name in sys.modules if name.split(".")[0] == "scaling_laws"}
        room = {f"scaling_laws.measurement{end}" for end in ("", ".meter", ".devices")}
        extra = ours - room - {"scaling_laws"}
        return {"ours": len(extra), "numpy": int("numpy" in sys.modules)}

    runs = sl.sweep(train, sl.grid(width=1), isolate=True)
    assert runs[["ours", "numpy"]].values.tolist() == [[0, 0]]


@pytest.mark.skipif(memory_peak() is None, reason="the system does not tell the peak")
def test_peak_memory_is_the_run_s_own_under_a_large_parent():
    parent = np.ones(int(600 * MB / 8))

    def train(megabytes):
        block = bytearray(int(megabytes * 1e6))
        block[::4096] = b"x" * len(block[::4096])
        return float(len(block))

    runs = sl.sweep(train, sl.grid(megabytes=[10, 200]), isolate=True)
    assert parent[-1] == 1
    assert runs.peak_memory[0] == pytest.approx(10 * MB, rel=0.1)
    assert runs.peak_memory[1] == pytest.approx(200 * MB, rel=0.05)


def test_what_a_run_prints_goes_to_standard_error(capfd):
    def train(width):
        print("printed", width)
        return width

    assert sl.sweep(train, sl.grid(width=3), isolate=True).loss[0] == 3
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "printed 3" in captured.err


def test_a_timeout_ends_what_the_child_started(marks):
    def train(width):
        import os
        import subprocess
        import sys

        helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        open(os.path.join(str(marks), str(helper.pid)), "w").close()
        helper.wait()

    runs = sl.sweep(train, sl.grid(width=1), timeout=2)
    assert runs.status[0] == "timeout"
    (helper,) = (int(path.name) for path in marks.iterdir())
    assert not wait_until_gone([helper])


def test_a_child_that_does_not_start_is_a_row(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    runs = sl.sweep(make_train(), sl.grid(width=[1, 2]), isolate=True)
    assert runs.status.tolist() == ["error", "error"]
    assert "did not start" in runs.failure[0]


def test_a_train_that_cannot_be_sent_is_refused():
    lock = threading.Lock()
    with pytest.raises(sl.MeasureError, match="cannot be sent to a child process"):
        sl.sweep(lambda width: lock.locked(), sl.grid(width=1), isolate=True)


# --------------------------------------------------------------------------------------- resume


def test_calling_again_does_only_what_is_missing(log, marks):
    train = make_train(str(marks))
    sl.sweep(train, sl.grid(width=[1, 2]), log=log)
    runs = sl.sweep(train, sl.grid(width=[np.float64(3), 2.0, 1]), log=log, workers=2)
    assert calls(marks) == [1, 2, 3]
    assert runs.width.tolist() == [3, 2, 1]
    assert len(sl.sweep(train, sl.grid(width=2), log=log)) == 1
    assert len(sl.read_log(log)) == 3  # runs of other grids stay


def test_failed_runs_are_done_again_only_when_asked(log, marks):
    train = make_train(str(marks))
    cells = modes("ok", "raise")
    sl.sweep(train, cells, log=log)
    sl.sweep(train, cells, log=log)
    assert calls(marks) == [1, 2]
    runs = sl.sweep(train, cells, log=log, retry_failed=True)
    assert calls(marks) == [1, 2, 2]
    assert runs.status.tolist() == ["ok", "error"]


def test_a_half_written_run_is_done_again(log, marks):
    train = make_train(str(marks))
    whole = sl.sweep(train, sl.grid(width=[1, 2, 3]), log=log)
    log.write_bytes(log.read_bytes()[:-40])
    runs = sl.sweep(train, sl.grid(width=[1, 2, 3]), log=log)
    assert calls(marks) == [1, 2, 3, 3]
    assert runs.attrs["torn_lines"] == [3]
    assert runs.loss.tolist() == whole.loss.tolist()
    assert len(sl.read_log(log)) == 3


def test_an_interruption_here_keeps_what_is_finished(log):
    def train(width):
        if width == 3:
            raise KeyboardInterrupt
        return width

    with pytest.raises(KeyboardInterrupt):
        sl.sweep(train, sl.grid(width=[1, 2, 3, 4]), log=log)
    assert sl.read_log(log).width.tolist() == [1, 2]


def test_progress_goes_to_standard_error_when_asked(capsys):
    sl.sweep(make_train(), sl.grid(width=[1, 2]), progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "2/2" in shown.err
    sl.sweep(make_train(), sl.grid(width=[1, 2]))
    assert capsys.readouterr().err == ""


# ------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("configurations", "options", "message"),
    [
        ([], {}, "no configurations"),
        ({"width": [1]}, {}, "one mapping"),
        ([{"width": 1}, {"width": 2}, {"width": 1.0}], {}, "configurations 0 and 2 are the same"),
        ([{"seconds": 1}], {}, "configuration 0 has seconds"),
        ([{"width": object()}], {}, "'width' cannot be kept in a log"),
        ([{"width": math.nan}], {}, "not finite"),
        ([3], {}, "configuration 0 is 3"),
        ([{"width": 1}], {"workers": 0}, "workers must be"),
        ([{"width": 1}], {"workers": True}, "workers must be"),
        ([{"width": 1}], {"timeout": 0}, "timeout must be"),
        ([{"width": 1}], {"log": "/nowhere/runs.jsonl"}, "cannot be written"),
    ],
)
def test_a_sweep_that_cannot_be_set_up_trains_nothing(configurations, options, message):
    def train(**config):
        pytest.fail("trained")

    with pytest.raises(sl.MeasureError, match=message):
        sl.sweep(train, configurations, **options)


def test_something_else_than_a_function_is_refused():
    with pytest.raises(sl.MeasureError, match="train must be callable, got float"):
        sl.sweep(0.5, sl.grid(width=1))


@pytest.mark.parametrize("workers", [1, 2])
def test_metrics_may_not_take_other_columns_names(workers):
    train = make_clashing()
    with pytest.raises(sl.MeasureError, match="named width, seconds"):
        sl.sweep(train, sl.grid(width=[1, 2, 3]), workers=workers)


def make_clashing():
    return lambda width: {"loss": 1.0, "width": 2.0, "seconds": 3.0}


# ---------------------------------------------------------------------------------- sudden ends


def load_kill_sweep():
    path = Path(__file__).parents[1] / "benchmarks" / "kill_sweep.py"
    spec = importlib.util.spec_from_file_location("kill_sweep", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def wait_until_gone(processes, patience=5.0):
    """Return those still alive after a while."""
    is_alive = load_kill_sweep().is_alive
    until = time.monotonic() + patience
    while alive := [process for process in processes if is_alive(process)]:
        if time.monotonic() > until:
            return alive
        time.sleep(0.02)
    return []


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@linux
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_killing_the_parent_loses_nothing_and_leaves_nobody(tmp_path, seed):
    kill_sweep = load_kill_sweep()
    rng = random.Random(seed)
    outcome = kill_sweep.trial(tmp_path, rng.randrange(kill_sweep.RUNS), rng.uniform(0, 0.1))
    assert kill_sweep.is_sound(outcome), outcome


@linux
@pytest.mark.parametrize("seed", [1, 2])
def test_killing_workers_loses_nothing_when_tried_again(tmp_path, seed):
    kill_sweep = load_kill_sweep()
    outcome = kill_sweep.worker_trial(tmp_path, 4, random.Random(seed))
    assert kill_sweep.is_sound_without_workers(outcome, 4), outcome


@linux
def test_ctrl_c_loses_nothing_and_leaves_nobody(tmp_path):
    kill_sweep = load_kill_sweep()
    parent = kill_sweep.start(tmp_path)
    log = tmp_path / "runs.jsonl"
    while parent.poll() is None and (not log.exists() or log.read_bytes().count(b"\n") < 5):
        time.sleep(0.002)
    parent.send_signal(signal.SIGINT)
    assert parent.wait(timeout=20) != 0
    assert kill_sweep.orphans(tmp_path) == []
    records, torn = read_records(log)
    assert torn == []
    assert 5 <= len(records) < kill_sweep.RUNS


@linux
def test_ctrl_c_does_not_wait_for_long_runs(tmp_path):
    def train(width):
        import os
        import time

        open(os.path.join(directory, str(os.getpid())), "w").close()
        time.sleep(600)

    directory = str(tmp_path)
    code = (
        "import sys, cloudpickle, scaling_laws as sl;"
        "sl.sweep(cloudpickle.loads(bytes.fromhex(sys.argv[1])), sl.grid(width=[1, 2]), workers=2)"
    )
    import cloudpickle

    train_bytes = pickled_by_value(cloudpickle, train).hex()
    parent = subprocess.Popen([sys.executable, "-c", code, train_bytes], stderr=subprocess.DEVNULL)
    while len(list(tmp_path.iterdir())) < 2:
        assert parent.poll() is None
        time.sleep(0.01)
    parent.send_signal(signal.SIGINT)
    assert parent.wait(timeout=30) != 0
    assert not wait_until_gone([int(path.name) for path in tmp_path.iterdir()])


def pickled_by_value(cloudpickle, function):
    """Bytes of a function that a process without this module can load."""
    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)
    try:
        return cloudpickle.dumps(function)
    finally:
        cloudpickle.unregister_pickle_by_value(module)


@linux
def test_a_child_notices_the_closed_pipe_where_the_kernel_does_not_tell(tmp_path):
    from scaling_laws.measurement import runner

    code = (
        "import sys, runpy, ctypes; ctypes.CDLL = None; sys.argv = ['runner', sys.argv[1]];"
        f"runpy.run_path({runner.__file__!r}, run_name='__main__')"
    )
    import cloudpickle

    task = {
        "path": sys.path,
        "train": cloudpickle.dumps(make_train()),
        "config": cloudpickle.dumps({"width": 1, "mode": "sleep"}),
        "options": {},
    }
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    runner.write_message(child.stdin, cloudpickle.dumps(task))
    child.stdin.close()
    child.stdout.close()
    assert child.wait(timeout=20) != 0
