"""The report of a reading: plain values that go with copies, with a fit, and into its file."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import scaling_laws as sl
from scaling_laws.data.read_report import read_report, report_from_dict
from scaling_laws.data.readers import read_runs


@pytest.fixture
def read_and_cleaned(tmp_path):
    runs = sl.load_dataset("tiny_lm")
    path = tmp_path / "tiny.csv"
    runs.rename(columns={"params": "N", "tokens": "D"}).to_csv(path, index=False)
    return sl.clean(read_runs(path), sl.drop_highest_loss(2))


@pytest.mark.parametrize("rows", [True, False])
def test_the_report_goes_with_the_fit_into_its_file(read_and_cleaned, rows, tmp_path):
    report = read_report(read_and_cleaned)
    assert {s.action for s in report.steps} >= {"renamed", "drop_highest_loss"}
    fit = sl.fit(read_and_cleaned, "chinchilla", draws=0)
    assert fit.read_report == report
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    fit.save(first, rows=rows)
    sl.load(first).save(second, rows=rows)
    assert sl.load(second).read_report == report
    assert first.read_bytes() == second.read_bytes()
    if rows:
        return  # the page below has no figures of the rows, and is written in a moment
    page = sl.report(sl.load(first), tmp_path / "page").read_text(encoding="utf-8")
    assert "drop_highest_loss loss: the 2 highest values" in page
    assert "no log given" not in page  # in the checklist neither
    assert "`tiny.csv` read as table" in page


def test_the_report_changes_no_number(read_and_cleaned):
    plain = read_and_cleaned.copy()
    plain.attrs = {}
    with_report, without = (
        sl.fit(t, "chinchilla", draws=20, law_error=False) for t in (read_and_cleaned, plain)
    )
    assert without.read_report is None
    assert with_report.digest == without.digest
    np.testing.assert_array_equal(with_report.draws, without.draws)
    told, bare = with_report.to_dict(), without.to_dict()
    assert told.pop("read_report")["rows_kept"] == len(plain)
    assert bare.pop("read_report") is None
    assert told == bare


def test_selections_and_groups_keep_the_report(read_and_cleaned, tmp_path):
    report = read_report(read_and_cleaned)
    selection = sl.select(read_and_cleaned, ["chinchilla"], focuses=(0.0,), draws=20)
    assert selection.read_report == report
    selection.save(tmp_path / "selection.json")
    assert sl.load(tmp_path / "selection.json").read_report == report
    table = pd.concat([read_and_cleaned.assign(corpus=c) for c in "ab"], ignore_index=True)
    table.attrs = read_and_cleaned.attrs
    for shared in ((), ("alpha",)):
        grouped = sl.fit(table, "chinchilla", group="corpus", shared=shared, draws=0)
        grouped.save(tmp_path / "groups.json")
        assert [f.read_report for f in grouped.fits] == [report] * 2
        assert sl.load(tmp_path / "groups.json")["b"].read_report == report


def test_something_else_in_the_place_of_the_report_is_told():
    frame = pd.DataFrame({"loss": [1.0]})
    for stored in ("text", {"source": "x"}, 3):
        frame.attrs["read_report"] = stored
        with pytest.raises(sl.DataError, match=r"not the report of a reading.*Delete it"):
            read_report(frame)


def test_the_report_is_plain_values_and_survives_copies(tmp_path):
    frame = read_runs({"N": ["1M", "2M"], "loss": [3.0, 2.9]})
    report = read_report(frame)
    assert report_from_dict(json.loads(json.dumps(frame.attrs["read_report"]))) == report
    assert read_report(frame[frame.loss < 3].copy()) == report
    assert list(report.to_frame().columns)[:3] == ["action", "what", "reason"]
    with pytest.raises(sl.DataError, match="carries no report"):
        read_report(pd.DataFrame({"loss": [1.0]}))


def test_reading_changes_nothing_that_was_given():
    table = pd.DataFrame({"N": ["1M"], "loss": [3.0]})
    before = table.copy(deep=True)
    read_runs(table)
    pd.testing.assert_frame_equal(table, before)
    assert table.attrs == {}
