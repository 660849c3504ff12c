import json
import math
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scaling_laws as sl
from scaling_laws.measurement.configuration import key_of, plain_value
from scaling_laws.measurement.runlog import RunLog, read_records


def record(**changes):
    return {
        "config": {"width": 4},
        "metrics": {"loss": 0.1},
        "status": "ok",
        "error": "",
        "seconds": 1.5,
        "cpu_seconds": 1.25,
        "peak_memory": math.nan,
        "peak_memory_source": "unknown",
        "started": "2026-01-01T00:00:00.000+00:00",
        "versions": {"python": "3.11.0"},
        **changes,
    }


@pytest.fixture
def log(tmp_path):
    return tmp_path / "runs.jsonl"


def write(path, *records):
    with RunLog(path) as book:
        for one in records:
            book.append(one)


@pytest.mark.parametrize(
    "value", [0.1 + 0.2, 5e-324, 1.7976931348623157e308, -0.0, math.inf, -math.inf, 3, 2**60]
)
def test_metrics_return_exactly(log, value):
    write(log, record(metrics={"loss": value}))
    (back,), _ = read_records(log)
    assert back["metrics"]["loss"] == value
    assert type(back["metrics"]["loss"]) is type(value)
    assert math.copysign(1, back["metrics"]["loss"]) == math.copysign(1, value)


def test_every_line_is_strict_json(log):
    write(log, record(metrics={"loss": math.nan}))
    json.loads(log.read_text(), parse_constant=pytest.fail)
    assert math.isnan(sl.read_log(log).loss[0])


def test_text_of_any_kind_stays_on_one_line(log):
    write(log, record(error="first\nsecond \u2028 \ud800 end"), record(config={"width": 5}))
    frame = sl.read_log(log)
    assert frame.width.tolist() == [4, 5]
    assert frame.failure[0].startswith("first\nsecond")


@pytest.mark.parametrize("kept", [1, 10, 50, 150, -1])
def test_half_written_last_line_is_reported_and_closed(log, kept):
    write(log, record(), record(config={"width": 5}))
    whole = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(whole[0] + whole[1][:kept])
    torn = [] if kept == -1 else [2]  # only the newline missing: the run is whole
    frame = sl.read_log(log)
    assert frame.attrs["torn_lines"] == torn
    assert frame.width.tolist() == ([4] if torn else [4, 5])
    write(log, record(config={"width": 6}))
    frame = sl.read_log(log)
    assert frame.width.tolist() == ([4, 6] if torn else [4, 5, 6])
    assert frame.attrs["torn_lines"] == torn


def test_zeros_after_a_power_cut_are_a_torn_line(log):
    write(log, record())
    with log.open("ab") as file:
        file.write(b"\0" * 100)
    assert sl.read_log(log).attrs["torn_lines"] == [2]
    assert len(sl.read_log(log)) == 1


@pytest.mark.parametrize("content", ["width,loss\n4,0.1\n", '{"width": 4}\n', "[1, 2]\n"])
def test_other_files_are_refused_and_left_alone(log, content):
    log.write_text(content)
    with pytest.raises(sl.MeasureError, match=r"line 1 of .* is not a run"):
        sl.read_log(log)
    with pytest.raises(sl.MeasureError, match="is not a run"):
        RunLog(log)
    assert log.read_text() == content


def test_unusable_places_are_refused(tmp_path):
    with pytest.raises(sl.MeasureError, match="cannot be read"):
        sl.read_log(tmp_path / "absent.jsonl")
    with pytest.raises(sl.MeasureError, match="Make its directory"):
        RunLog(tmp_path / "absent" / "runs.jsonl")
    with pytest.raises(sl.MeasureError, match="cannot be written"):
        RunLog(tmp_path)


def test_a_full_disk_is_told_and_the_log_repaired(log, monkeypatch):
    with RunLog(log) as book:
        book.append(record())
        write_some = os.write

        def full(file, data):
            write_some(file, data[:20])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(sl.MeasureError, match="did not take it: No space left"):
            book.append(record(config={"width": 5}))
        monkeypatch.undo()
    write(log, record(config={"width": 6}))
    assert sl.read_log(log).width.tolist() == [4, 6]


def test_empty_log_is_an_empty_table(log):
    write(log)
    assert len(sl.read_log(log)) == 0
    assert os.path.getsize(log) == 0


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3),
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), values, max_size=4))
def test_a_configuration_has_the_same_key_after_the_log(config):
    plain = {name: plain_value(value) for name, value in config.items()}
    assert key_of(json.loads(json.dumps(plain))) == key_of(config)


def test_keys_tell_values_not_types():
    assert key_of({"n": 100000}) == key_of({"n": 1e5})
    assert key_of({"n": 1}) != key_of({"n": True})
    assert key_of({"n": "1"}) != key_of({"n": 1})
    assert key_of({"n": (1, 2)}) == key_of({"n": [1, 2]})


@pytest.mark.parametrize("value", [math.nan, math.inf, object(), {1, 2}, b"x", np.float64("nan")])
def test_values_a_log_cannot_hold(value):
    with pytest.raises(TypeError):
        plain_value(value)


def test_numpy_numbers_become_plain():
    for given_value, kind in [(np.int32(3), int), (np.float32(0.5), float), (np.bool_(1), bool)]:
        assert type(plain_value(given_value)) is kind
