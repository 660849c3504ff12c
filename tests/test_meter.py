import math
import time

import numpy as np
import pytest

import scaling_laws as sl
from scaling_laws.measurement import meter as module

MB = 1e6


def hold(megabytes):
    block = np.ones(int(megabytes * MB / 8))
    return float(block[-1])


@pytest.mark.skipif(module.memory_peak() is None, reason="the system does not tell the peak")
class TestPeak:
    def test_is_the_block_s_own(self):
        hold(300)  # an earlier peak
        with sl.meter() as m:
            hold(50)
        if m.peak_memory_source == "reset":
            assert m.peak_memory == pytest.approx(50 * MB, rel=0.1)

    def test_of_an_outer_block_survives_an_inner_one(self):
        with sl.meter() as outer:
            hold(200)
            with sl.meter() as inner:
                hold(40)  # too large for the allocator to give back memory it still holds
        assert inner.peak_memory == pytest.approx(40 * MB, rel=0.2)
        assert outer.peak_memory == pytest.approx(200 * MB, rel=0.1)

    def test_without_reset_needs_a_new_high(self, monkeypatch):
        monkeypatch.setattr(module, "reset_memory_peak", lambda: False)
        monkeypatch.setattr(module, "memory_held", lambda: 100)
        peaks = iter([500, 700])
        monkeypatch.setattr(module, "memory_peak", lambda: next(peaks))
        with sl.meter() as m:
            pass
        assert (m.peak_memory, m.peak_memory_source) == (600, "exceeded")

    def test_without_reset_or_new_high_is_unknown(self, monkeypatch):
        monkeypatch.setattr(module, "reset_memory_peak", lambda: False)
        monkeypatch.setattr(module, "memory_peak", lambda: 500)
        with sl.meter() as m:
            pass
        assert m.peak_memory_source == "unknown"
        assert math.isnan(m.peak_memory)


def test_where_the_system_says_nothing(monkeypatch):
    monkeypatch.setattr(module, "_STATUS", "/nowhere/status")
    monkeypatch.setattr(module, "_CLEAR", "/nowhere/clear")
    with sl.meter() as m:
        pass
    assert m.peak_memory_source == "unknown"
    assert math.isnan(m.peak_memory)


def test_wall_and_processor_time_are_told_apart():
    with sl.meter() as m:
        assert m.seconds >= 0
        time.sleep(0.2)
    assert m.seconds >= 0.2
    assert m.cpu_seconds < m.seconds
    assert m.seconds == m.seconds  # no longer running


def test_measures_a_block_that_raises():
    m = sl.meter()
    with pytest.raises(ValueError, match="inside"), m:
        raise ValueError("inside")
    assert m.seconds >= 0
    assert module._running == []
