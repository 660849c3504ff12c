"""Latency of a model that serves, and its quantiles."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scaling_laws as sl
from scaling_laws.measurement import timing
from scaling_laws.measurement.meter import quantile
from scaling_laws.measurement.timing import latency


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30),
    st.floats(0, 1),
)
def test_quantiles_are_numpys(values, share):
    assert quantile(values, share) == pytest.approx(np.quantile(values, share), abs=1e-6)


@pytest.fixture
def clock(monkeypatch):
    """A clock that only `pass_time` moves: a stalled machine changes nothing."""
    now = [0.0]
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def pass_time(seconds):
        now[0] += seconds

    return pass_time


def test_latency_excludes_the_warm_up(clock):
    calls = []

    def predict(x):
        calls.append(x)
        clock(100.0 if len(calls) == 1 else x)

    found = latency(predict, [1, 2, 20], calls=60, warmup=3)
    assert calls == [1, 2, 20] * 21
    assert found.samples == pytest.approx(list(itertools.islice(itertools.cycle([1, 2, 20]), 60)))
    assert found.first == 100.0
    assert (found.p50, found.p95) == (2.0, 20.0)
    assert found.to_dict().keys() == {"latency", "latency_p95", "latency_first"}
    assert found.quantile(0.5) == found.p50 == float(np.median(found.samples))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"calls": 10}, "calls must be a whole number from 20"),
        ({"calls": True}, "calls must be"),
        ({"warmup": -1}, "warmup must be"),
        ({"inputs": []}, "inputs is empty"),
    ],
)
def test_latency_refuses(options, message):
    with pytest.raises(sl.MeasureError, match=message):
        latency(len, **{"inputs": [[1]], **options})
    with pytest.raises(sl.MeasureError, match="Did you mean"):
        latency(len, [[1]], calls=20).quantile(95)
