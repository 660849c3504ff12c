"""Latency of a model that serves, and its quantiles."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scaling_laws as sl
from scaling_laws.measurement.meter import quantile
from scaling_laws.measurement.timing import latency


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30),
    st.floats(0, 1),
)
def test_quantiles_are_numpys(values, share):
    assert quantile(values, share) == pytest.approx(np.quantile(values, share), abs=1e-6)


def test_latency_excludes_the_warm_up():
    calls = []

    def predict(x):
        calls.append(x)
        time.sleep(0.1 if len(calls) == 1 else 0.0005 * x)

    found = latency(predict, [1, 2, 20], calls=60, warmup=3)
    assert calls == [1, 2, 20] * 21
    assert found.first >= 0.1
    assert 0.001 <= found.p50 < 0.01
    assert 0.01 <= found.p95 < 0.1
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
