"""Files that are torn, ragged or meant to harm: an error with a reason, or a counted drop."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from import_shapes import accounted, csv_file

import scaling_laws as sl
from scaling_laws.data.read_report import read_report
from scaling_laws.data.readers import read_runs


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"\n\n  \n", "empty"),
        (b"N,loss\n", "no rows"),
        (b"\x80\x04\x95junk", "pickle"),
        (b"PK\x03\x04junk", "CSV"),
        (b"\x1f\x8bjunk", "gzip"),
        (b"N,loss\n1,3\xff\n", "encoding='latin-1'"),
        ("N,loss\n1,3\n".encode("utf-16-le"), "utf-16"),
        (b'N,loss\n1,"3\n', "quote"),
        (b'{"a": ' + b"[" * 100_000, "nested too deeply|not JSON"),
        (b'[{"loss": 3.0}, {"loss"', "not JSON"),
        (b"[1, 2, 3]", "no table"),
        (b'{"log_history": []}', "log_history"),
        (b'{"log_history": "x"}', "log_history"),
        (b'{"loss": 1' + b"0" * 5000 + b"}", "no usable value"),
        (b"N,loss\n" + b"9" * 200_000 + b",3\n", "field larger"),
    ],
)
def test_what_cannot_be_read_says_why(content, message, tmp_path):
    with pytest.raises(sl.DataError, match=message):
        read_runs(csv_file(tmp_path, content, "x"))


def test_torn_and_ragged_lines_are_dropped_and_counted(tmp_path):
    text = b"N,D,loss\n1M,2M,3.0\n1M,2M,3.1,9\n\x00\x00\x00\n2M,3M,2.9\n3M,4"
    frame = read_runs(csv_file(tmp_path, text))
    assert frame.loss.tolist() == [3.0, 2.9]
    assert read_report(frame).dropped == 3
    lines = b'{"N": 1, "loss": 3.0}\nnot json\n{"N": 2, "loss": 2.9}\n{"N": 3, "lo'
    frame = read_runs(csv_file(tmp_path, lines, "x.jsonl"))
    assert frame.loss.tolist() == [3.0, 2.9]
    assert read_report(frame).dropped == 2


def test_nothing_in_a_cell_is_executed(tmp_path):
    mark = tmp_path / "mark"
    attack = f"__import__('pathlib').Path({str(mark)!r}).write_text('x')"
    table = pd.DataFrame(
        {"summary": [attack, "{'loss': 3.0}"], "config": ["{}", "{'n': " + attack + "}"]}
    )
    path = tmp_path / "runs.csv"
    table.to_csv(path, index=False)
    frame = read_runs(path)
    assert frame.loss.isna().tolist() == [True, False]
    assert not mark.exists()


@pytest.mark.parametrize(
    "source", [None, 3, [], {}, [1, 2], (1, 2, 3), pd.DataFrame(), "no_such.csv", "a\0b"]
)
def test_what_is_no_source_says_so(source):
    with pytest.raises(sl.DataError):
        read_runs(source)


def test_options_are_checked():
    table = {"N": [1e6], "loss": [3.0]}
    for options, message in [
        ({"format": "cvs"}, "Did you mean 'csv'"),
        ({"policy": "last"}, "final, last_mean, best, all"),
        ({"last": 0}, "share in"),
        ({"status": "finish"}, "Did you mean 'finished'"),
        ({"decimal": ";"}, "decimal must"),
        ({"target": ""}, "target must"),
    ]:
        with pytest.raises(sl.DataError, match=message):
            read_runs(table, **options)


CELLS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True).map(repr),
    st.integers().map(str),
    st.sampled_from(
        ["", "NaN", "1M", "1,000", "=A1", "n/a", "3e-4", '"', "\x00", "é", "1e999", "{}"]
    ),
    st.text(max_size=5),
)
HEADERS = st.sampled_from(
    ["run", "N", "D", "loss", "lr", "_step", "step", "epoch", "State", "run_id", "metrics.loss",
     "params.N", "a - loss", "key", "value", "summary", "config", "flops", "x", "", "eval/loss"]
)  # fmt: skip


@given(
    st.lists(HEADERS, min_size=1, max_size=6),
    st.lists(st.lists(CELLS, max_size=7), max_size=8),
    st.sampled_from([",", ";", "\t"]),
    st.integers(0, 40),
)
def test_any_text_is_a_table_with_a_report_or_a_data_error(
    tmp_path_factory, header, rows, comma, cut
):
    lines = [comma.join(header), *[comma.join(row) for row in rows]]
    content = "\n".join(lines).encode("utf-8", errors="surrogatepass")
    path = tmp_path_factory.mktemp("fuzz") / "x.csv"
    path.write_bytes(content[: len(content) - cut] if cut < 10 else content)
    try:
        frame = read_runs(path)
    except sl.DataError:
        return  # said why; anything else that is raised fails the test
    assert accounted(frame)
    assert not np.isinf(frame.loss).any()
