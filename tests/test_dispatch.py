"""Runs on the workers of other backends."""

import os
import threading

import joblib
import pandas as pd
import pytest

import scaling_laws as sl


@pytest.fixture
def log(tmp_path):
    return tmp_path / "runs.jsonl"


# ------------------------------------------------------------------------------- other backends


def make_train():
    def train(i, mode="ok"):
        import os

        if mode == "leave":
            os._exit(3)
        return {"loss": i / 2, "process": os.getpid()}

    return train


@pytest.mark.parametrize(("backend", "isolate"), [("loky", False), ("threading", True)])
def test_backends_give_the_same_table(backend, isolate, log):
    cells = sl.grid(i=range(5))
    runs = sl.sweep(make_train(), cells, backend=backend, isolate=isolate, workers=2, log=log)
    assert runs.loss.tolist() == [i / 2 for i in range(5)]
    assert os.getpid() not in runs.process.tolist()
    assert sorted(sl.read_log(log).i) == list(range(5))
    again = sl.sweep(make_train(), cells, backend=backend, workers=2, log=log)
    pd.testing.assert_frame_equal(runs, again)


def test_threads_do_not_claim_memory_that_is_not_their_own():
    """Two runs that surely overlap."""
    both = threading.Barrier(2)

    class Train:
        def __reduce__(self):
            return _the_barrier_s_train, ()

        def __call__(self, i):
            both.wait(20)
            return 1.0

    global _train  # the same object on both sides of the pickle
    _train = Train()
    runs = sl.sweep(_train, sl.grid(i=range(2)), backend="threading", workers=2)
    assert runs.status.tolist() == ["ok", "ok"]
    assert runs.peak_memory.isna().all()
    assert runs.cpu_seconds.isna().all()


def _the_barrier_s_train():
    return _train


def test_the_backend_of_the_context_is_used():
    with joblib.parallel_config(backend="loky", n_jobs=2):
        runs = sl.sweep(make_train(), sl.grid(i=range(4)), backend="active")
    assert runs.status.tolist() == ["ok"] * 4
    assert os.getpid() not in runs.process.tolist()


def test_backends_that_only_return_lists_do_too(log):
    runs = sl.sweep(make_train(), sl.grid(i=range(3)), backend="multiprocessing", workers=2)
    assert runs.loss.tolist() == [0, 0.5, 1]


def test_a_worker_that_dies_is_told_and_what_is_logged_stays(log):
    cells = [{"i": i, "mode": "leave" if i == 3 else "ok"} for i in range(6)]
    with pytest.raises(sl.MeasureError, match="backend 'loky' gave up"):
        sl.sweep(make_train(), cells, backend="loky", workers=2, log=log)
    logged = sl.read_log(log)  # nothing, if the worker died first
    assert logged.empty or set(logged.i) <= {0, 1, 2, 4, 5}
    runs = sl.sweep(make_train(), cells, backend="loky", workers=2, isolate=True, log=log)
    assert runs.status.tolist() == ["ok", "ok", "ok", "error", "ok", "ok"]


def test_an_error_in_the_caller_s_progress_ends_the_sweep():
    def stop(_progress):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        sl.sweep(make_train(), sl.grid(i=range(6)), backend="loky", workers=2, progress=stop)


def test_dask_takes_the_same_call(log):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as here,
        distributed.Client(here),
    ):
        runs = sl.sweep(make_train(), sl.grid(i=range(4)), backend="dask", workers=2, log=log)
    assert runs.loss.tolist() == [0, 0.5, 1, 1.5]
    assert os.getpid() not in runs.process.tolist()
