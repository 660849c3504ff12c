"""Retries, budgets, compute, repeats, own loops and other backends: beyond one plain sweep."""

import math
import sys
import time
import types

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scaling_laws as sl
from scaling_laws.measurement.compute import flops_notes, flops_of
from scaling_laws.measurement.devices import DeviceGauge, counted_flops, synchronise
from scaling_laws.measurement.ledger import Ledger, SweepProgress, TimeModel, checked_budget
from scaling_laws.measurement.timing import latency


@pytest.fixture
def log(tmp_path):
    return tmp_path / "runs.jsonl"


def codes(frame):
    return [note.code for note in frame.attrs["notes"]]


class Clock:
    """Time that passes only when told."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


# -------------------------------------------------------------------------------------- retries


class Flaky:
    """Fails the first times that each width is trained."""

    def __init__(self, failures):
        self.left = dict(failures)
        self.calls = []

    def __call__(self, width):
        self.calls.append(width)
        if self.left.get(width, 0):
            self.left[width] -= 1
            raise ValueError("not now")
        return width


def test_failed_runs_are_tried_again_and_every_attempt_is_logged(log):
    train = Flaky({1: 1, 2: 5})
    runs = sl.sweep(train, sl.grid(width=[1, 2, 3]), log=log, retries=2)
    assert train.calls == [1, 2, 3, 1, 2, 2]  # what failed goes last
    assert runs.status.tolist() == ["ok", "error", "ok"]
    assert runs.attempt.tolist() == [2, 3, 1]
    assert sl.read_log(log).groupby("width").attempt.apply(list).to_dict() == {
        1: [1, 2],
        2: [1, 2, 3],
        3: [1],
    }


def test_attempts_of_earlier_calls_count(log):
    train = Flaky({1: 9})
    for retries, calls in [(0, 1), (0, 1), (2, 3), (2, 3), (3, 4)]:
        sl.sweep(train, sl.grid(width=1), log=log, retries=retries)
        assert len(train.calls) == calls


def test_a_loss_that_diverged_is_a_result(log):
    calls = []

    def train(width):
        calls.append(width)
        return math.inf

    runs = sl.sweep(train, sl.grid(width=1), log=log, retries=3)
    assert (runs.status[0], len(calls)) == ("nan", 1)
    assert math.isinf(sl.read_log(log).loss[0])


def test_children_that_were_killed_are_tried_again(tmp_path, log):
    marks = str(tmp_path)

    def train(width):
        import os

        mark = os.path.join(marks, f"{width}.mark")
        if not os.path.exists(mark):
            open(mark, "w").close()
            os.kill(os.getpid(), 9)
        return width

    runs = sl.sweep(train, sl.grid(width=[1, 2]), log=log, retries=1, workers=2)
    assert runs.status.tolist() == ["ok", "ok"]
    assert sorted(sl.read_log(log).status) == ["killed", "killed", "ok", "ok"]


# ------------------------------------------------------------------------- repeats and warm-up


def test_the_first_call_is_reported_apart():
    calls = []

    def train(width):
        calls.append(width)
        time.sleep(0.2 if len(calls) == 1 else 0.01)
        return {"loss": len(calls)}

    runs = sl.sweep(train, sl.grid(width=8), warmup=1, repeats=3)
    assert calls == [8] * 4
    assert runs.first_seconds[0] >= 0.2
    assert 0.01 <= runs.seconds[0] < 0.2
    assert 0 <= runs.seconds_spread[0] < 0.2
    assert runs.loss[0] == 4  # of the last call


def test_repeated_calls_get_their_own_configuration():
    def train(sizes):
        sizes.append(1)
        return len(sizes)

    cells = [{"sizes": [3, 4]}]
    runs = sl.sweep(train, cells, repeats=3)
    assert runs.loss[0] == 3
    assert cells == [{"sizes": [3, 4]}]


def test_repeats_that_fail_half_way_are_a_failed_run():
    calls = []

    def train(width):
        calls.append(width)
        if len(calls) == 3:
            raise ValueError("third")
        return 1.0

    runs = sl.sweep(train, sl.grid(width=8), repeats=5)
    assert (runs.status[0], len(calls)) == ("error", 3)
    assert math.isnan(runs.seconds_spread[0])
    assert math.isnan(runs.get("loss", pd.Series([math.nan]))[0])


def test_a_single_call_has_no_spread():
    runs = sl.sweep(lambda width: 1.0, sl.grid(width=8))
    assert math.isnan(runs.seconds_spread[0])
    assert 0 < runs.first_seconds[0] <= runs.seconds[0]


# -------------------------------------------------------------------------------------- compute


@pytest.mark.parametrize(
    ("config", "metrics", "source", "flops"),
    [
        ({"params": 10, "tokens": 20}, {"loss": 1.0}, "6ND", 1200.0),
        ({"params": 10}, {"tokens": 20}, "6ND", 1200.0),
        ({"params": 10, "tokens": 20}, {"flops": 1300}, "returned", 1300.0),
        ({}, {"macs": 600}, "2 macs", 1200.0),
        ({"flops": 1e18}, {"loss": 1.0}, "given", 1e18),
        ({"params": "10M", "tokens": 20}, {"loss": 1.0}, "", None),
        ({"params": True, "tokens": 20}, {"loss": 1.0}, "", None),
        ({"params": -5, "tokens": -20}, {"loss": 1.0}, "", None),
        ({"params": 10**400, "tokens": 20}, {"loss": 1.0}, "", None),
    ],
)
def test_compute_and_whose_number_it_is(config, metrics, source, flops, log):
    def train(**_config):
        return {"loss": 1.0, **metrics}

    for frame in (sl.sweep(train, [config or {"width": 1}], log=log), sl.read_log(log)):
        assert frame.flops_source[0] == source
        assert ("flops" in frame) == (flops is not None)
        assert flops is None or frame.flops[0] == flops
        assert codes(frame) == []


def test_a_number_without_a_float_leaves_other_columns_numbers(log):
    cells = [{"params": 10**400, "tokens": 20, "seed": None}, {"params": 3, "tokens": 30}]
    for frame in (sl.sweep(lambda **_: 1.5, cells, log=log), sl.read_log(log)):
        assert frame.params.tolist() == [10**400, 3]
        assert frame.tokens.dtype == np.int64
        assert frame.loss.tolist() == [1.5, 1.5]
        assert frame.status.tolist() == ["ok", "ok"]


def test_counts_that_disagree_are_told_now_and_from_the_log(log):
    def train(params, tokens):
        return {"loss": 1.0, "flops": 3 * params * tokens if params > 1 else 6 * tokens}

    runs = sl.sweep(train, sl.grid(params=[1, 10, 20], tokens=100), log=log)
    for frame in (runs, sl.read_log(log)):
        (note,) = frame.attrs["notes"]
        assert (note.code, note.severity) == ("flops_disagree", "warning")
        assert note.details["rows"] == [1, 2]
        assert note.details["counts"] == {"returned": 3000.0, "6ND": 6000.0}
        assert "macs" in note.message


@pytest.mark.parametrize("counted", [0.0, -5.0, math.inf])
def test_a_count_that_cannot_be_is_told(counted):
    assert [n.code for n in flops_notes([{"torch": counted}])] == ["flops_disagree"]
    assert flops_notes([flops_of({}, {}), {"6ND": 1.0}]) == []


def test_torch_counts_where_it_is_loaded(monkeypatch):
    """As torch does: attention on a processor counts 0 (pytorch issue 195460)."""
    fake_torch(monkeypatch, counts=[5900.0, 0.0])
    runs = sl.sweep(
        lambda params, tokens: 1.0,
        sl.grid(params=10, tokens=[100, 200]),
        count_flops=True,
        warmup=1,
    )
    assert runs.flops_source.tolist() == ["torch", "torch"]
    assert runs.flops.tolist() == [5900.0, 0.0]
    assert codes(runs) == ["flops_disagree"]
    assert runs.attrs["notes"][0].details["rows"] == [1]


def test_counting_without_torch_is_told():
    assert codes(sl.sweep(lambda width: 1.0, sl.grid(width=1), count_flops=True)) == [
        "flops_not_counted"
    ]
    assert codes(sl.sweep(lambda width: 1.0, sl.grid(width=1))) == []


# --------------------------------------------------------------------------------- accelerators


class FakeCuda:
    """A device with memory in use, a peak, and work that ends when waited for."""

    def __init__(self, started=True):
        self.started = started
        self.held = 0
        self.peak = 0
        self.waited = 0

    def is_initialized(self):
        return self.started

    def device_count(self):
        return 1

    def synchronize(self, device):
        assert self.started
        self.waited += 1

    def memory_allocated(self, device):
        return self.held

    def max_memory_allocated(self, device):
        return self.peak

    def reset_peak_memory_stats(self, device):
        self.peak = self.held

    def take(self, count):
        self.held += count
        self.peak = max(self.peak, self.held)

    def give(self, count):
        self.held -= count


def fake_torch(monkeypatch, counts=(), started=False):
    """Stand-in for torch with one device and a counter of FLOP."""
    left = list(counts)

    class FlopCounterMode:
        def __init__(self, display):
            assert display is False

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.total = left.pop(0)

        def get_total_flops(self):
            return self.total

    torch = types.ModuleType("torch")
    torch.cuda = FakeCuda(started)
    counter = types.ModuleType("torch.utils.flop_counter")
    counter.FlopCounterMode = FlopCounterMode
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch.utils", types.ModuleType("torch.utils"))
    monkeypatch.setitem(sys.modules, "torch.utils.flop_counter", counter)
    return torch.cuda


def test_device_memory_is_above_what_was_held_and_survives_inner_blocks(monkeypatch):
    cuda = fake_torch(monkeypatch, started=True)
    cuda.take(1000)
    cuda.take(5000)
    cuda.give(5000)  # an earlier peak
    with sl.meter() as outer:
        cuda.take(300)
        cuda.give(300)
        with sl.meter() as inner:
            cuda.take(40)
            cuda.give(40)
    assert (outer.device_memory, inner.device_memory) == (300, 40)
    assert cuda.waited == 4


def test_a_device_that_was_not_used_is_left_alone(monkeypatch):
    cuda = fake_torch(monkeypatch, started=False)
    synchronise()
    with sl.meter() as m:
        pass
    assert math.isnan(m.device_memory)
    assert cuda.waited == 0
    with sl.meter() as m:  # it starts inside
        cuda.started = True
        cuda.take(70)
    assert m.device_memory == 70


def test_each_call_waits_for_the_device(monkeypatch):
    cuda = fake_torch(monkeypatch, started=True)
    latency(len, [[1]], calls=20, warmup=0)
    assert cuda.waited == 40
    runs = sl.sweep(lambda width: cuda.take(width) or 1.0, sl.grid(width=8))
    assert runs.device_memory[0] == 8
    assert cuda.waited == 43


def test_jax_is_asked_only_once_it_has_started(monkeypatch):
    started = []
    stats = {"bytes_in_use": 100, "peak_bytes_in_use": 500}
    array = types.SimpleNamespace(
        is_deleted=lambda: False, block_until_ready=lambda: waits.append(1)
    )
    device = types.SimpleNamespace(id=0, memory_stats=lambda: dict(stats))
    waits = []
    jax = types.ModuleType("jax")
    jax.live_arrays = lambda: [array]
    jax.local_devices = lambda: [device]
    bridge = types.ModuleType("jax._src.xla_bridge")
    bridge.backends_are_initialized = lambda: bool(started)
    monkeypatch.setitem(sys.modules, "jax", jax)
    monkeypatch.setitem(sys.modules, "jax._src.xla_bridge", bridge)
    synchronise()
    assert math.isnan(DeviceGauge().peak())
    assert waits == []
    started.append(True)
    synchronise()
    assert waits == [1]
    gauge = DeviceGauge()
    assert math.isnan(gauge.peak())  # its peak cannot be reset, and was not passed
    stats["peak_bytes_in_use"] = 800
    assert gauge.peak() == 700


def test_counting_ends_with_the_block(monkeypatch):
    fake_torch(monkeypatch, counts=[12.0])
    with counted_flops(True) as count:
        pass
    assert count() == 12.0


# ---------------------------------------------------------------- cheapest first, and how long


def test_cheapest_first_and_the_table_as_given(log):
    order = []

    def train(params, tokens):
        order.append(params * tokens)
        return 1.0

    runs = sl.sweep(train, sl.grid(params=[30, 10], tokens=[7, 5]), log=log)
    assert order == [50, 70, 150, 210]
    assert (runs.params * runs.tokens).tolist() == [210, 150, 70, 50]


def test_order_and_budget_by_a_cost_of_one_s_own():
    order = []
    cells = sl.grid(width=[3, 1, 2])
    sl.sweep(lambda width: order.append(width) or 1.0, cells, cost=lambda c: -c["width"] + 9)
    sl.sweep(lambda width: order.append(width) or 1.0, cells)
    assert order == [3, 2, 1, 3, 1, 2]


@pytest.mark.parametrize("answer", [0, -1, math.nan, math.inf, "5", True, None, 10**400])
def test_a_cost_that_is_none_is_refused(answer):
    with pytest.raises(sl.MeasureError, match="return a positive number of FLOP"):
        sl.sweep(lambda width: pytest.fail("trained"), sl.grid(width=1), cost=lambda c: answer)


def test_runs_beyond_the_budget_of_compute_are_not_begun(log):
    cells = sl.grid(params=[1, 2, 4, 8], tokens=100)  # 600, 1200, 2400, 4800 FLOP
    runs = sl.sweep(lambda params, tokens: 1.0, cells, log=log, budget={"flops": 4200})
    assert runs.status.tolist() == ["ok", "ok", "ok", "scheduled"]
    assert codes(runs) == ["budget_spent"]
    assert runs.attrs["notes"][0].details == {"left": 1}
    assert len(sl.read_log(log)) == 3
    more = sl.sweep(lambda params, tokens: 1.0, cells, log=log, budget={"flops": 4800})
    assert more.status.tolist() == ["ok"] * 4
    assert codes(more) == []


def test_a_table_with_scheduled_runs_can_be_fitted():
    cells = sl.grid(params=[1e6, 2e6, 4e6, 8e6, 1e12], tokens=1e9)
    runs = sl.sweep(lambda params, tokens: 2 + params**-0.3 * 100, cells, budget={"flops": 1e18})
    found = sl.fit(runs, "saturating_power", inputs=("params",), draws=0)
    assert found.coef["E"] == pytest.approx(2, abs=1e-3)
    assert "unfinished_runs" in [note.code for note in found.notes]


def test_compute_that_train_returns_counts_against_the_budget():
    def train(width):
        return {"loss": 1.0, "flops": 1000}

    runs = sl.sweep(train, sl.grid(width=range(9)), budget={"flops": 2500})
    assert runs.status.tolist().count("ok") == 3  # the third began with 500 left
    with pytest.raises(sl.MeasureError, match="a run tells none"):
        sl.sweep(lambda width: 1.0, sl.grid(width=[1, 2]), budget={"flops": 1})


def test_no_run_begins_after_the_budget_of_time():
    def train(width):
        time.sleep(0.05)
        return 1.0

    runs = sl.sweep(train, sl.grid(width=range(50)), budget={"seconds": 0.3})
    assert 1 <= runs.status.tolist().count("ok") <= 6
    assert runs.status.iloc[-1] == "scheduled"
    assert runs.attempt.iloc[-1] == 0


@pytest.mark.parametrize("workers", [1, 3])
def test_spending_stays_within_the_budget(workers):
    """Any interleaving of runs that cost what was said."""
    rng = np.random.default_rng(workers)
    for _ in range(200):
        costs = {str(i): float(c) for i, c in enumerate(rng.integers(1, 100, 20))}
        ledger = Ledger(costs, {"flops": 300.0}, workers)
        under_way, refused, spent = [], [], 0.0
        for key in costs:
            if len(under_way) == workers:
                done = under_way.pop(rng.integers(workers))
                ledger.end(done, "ok", math.nan)
                spent += costs[done]
            (under_way if ledger.begin(key) else refused).append(key)
        for key in under_way:
            ledger.end(key, "ok", math.nan)
            spent += costs[key]
        assert spent == ledger.flops <= 300
        assert refused  # 20 runs of 50 on average cannot fit


@given(
    st.floats(0, 100),
    st.floats(1e-3, 10),
    st.lists(st.floats(1, 1e6), min_size=2, max_size=8, unique=True),
    st.sampled_from([1.0, 1e20]),
)
def test_a_fixed_part_and_a_rate_are_found(fixed, rate, costs, unit):
    costs = [c for c in costs if max(costs) / c < 1e3]
    model = TimeModel()
    for cost in costs:
        model.add(cost * unit, fixed + rate * cost)
    for cost in costs:
        assert model(cost * unit) == pytest.approx(fixed + rate * cost, rel=1e-3)


def test_predictions_never_fall_with_cost_nor_below_zero():
    rng = np.random.default_rng(0)
    for _ in range(200):
        model = TimeModel()
        for cost, seconds in rng.lognormal(size=(rng.integers(1, 6), 2), sigma=2):
            model.add(cost, seconds)
        low, high = model(1e-3), model(1e3)
        assert 0 <= low <= high


def test_time_left_is_predicted_from_the_runs_so_far():
    clock = Clock()
    costs = {str(c): float(c) for c in (1, 2, 4, 8, 16)}
    ledger = Ledger(costs, {}, 1, clock)
    missing = list(costs)
    assert math.isnan(ledger.seconds_left(missing))
    for key in ("1", "2", "4"):
        ledger.begin(key)
        clock.now += 10 + 3 * costs[key]
        ledger.end(key, "ok", math.nan)
        missing.remove(key)
    assert ledger.seconds_left(missing) == pytest.approx(20 + 3 * 24)
    ledger.begin("8")
    clock.now += 4
    assert ledger.seconds_left(missing) == pytest.approx(20 + 3 * 24 - 4)


def test_a_run_predicted_to_end_too_late_is_not_begun():
    clock = Clock()
    costs = {str(c): float(c) for c in (1, 2, 4, 8)}
    ledger = Ledger(costs, {"seconds": 10.0}, 1, clock)
    for key in ("1", "2"):
        assert ledger.begin(key)
        clock.now += costs[key]
        ledger.end(key, "ok", math.nan)
    assert ledger.begin("4")
    clock.now += 4
    ledger.end("4", "ok", math.nan)
    assert not ledger.begin("8")  # 7 of 10 seconds are gone


@pytest.mark.parametrize("workers", [1, 2])
def test_progress_is_told_after_each_run(workers, log, capfd):
    seen = []

    def make():
        def train(params, tokens):
            if params == 2:
                raise ValueError
            return 1.0

        return train

    cells = sl.grid(params=[1, 2, 4], tokens=100)
    sl.sweep(make(), cells[:1], log=log)
    sl.sweep(make(), cells, log=log, progress=seen.append, workers=workers)
    assert [p.done for p in seen] == [2, 3]
    assert all(isinstance(p, SweepProgress) and p.total == 3 for p in seen)
    assert seen[-1].failed == 1
    assert seen[-1].seconds_left == 0
    assert seen[-1].flops == 3600
    assert sorted(p.status for p in seen) == ["error", "ok"]
    assert str(seen[-1]).startswith("3/3 runs, 1 failed")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"seconds": 0}, "budget.'seconds'. must be a positive number, got 0"),
        ({"flops": math.inf}, "must be a positive number"),
        ({"flops": "1e18"}, "must be a positive number"),
        ({"flops": True}, "must be a positive number"),
        ({"dollars": 5}, "'seconds', 'flops' or both"),
        ({}, "'seconds', 'flops' or both"),
        (3600, "'seconds', 'flops' or both"),
    ],
)
def test_budgets_that_are_refused(budget, message):
    with pytest.raises(sl.MeasureError, match=message):
        checked_budget(budget)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"retries": -1}, "retries must be a whole number from 0"),
        ({"repeats": 0}, "repeats must be a whole number from 1"),
        ({"warmup": 1.5}, "warmup must be"),
        ({"backend": "nowhere"}, "cannot use the backend 'nowhere'"),
        ({"progress": "bar"}, "progress must be"),
    ],
)
def test_options_that_are_refused(options, message):
    with pytest.raises(sl.MeasureError, match=message):
        sl.sweep(lambda width: pytest.fail("trained"), sl.grid(width=1), **options)
