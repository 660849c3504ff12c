"""What the real tools wrote (``make_fixtures.py``) gives the same table of runs from each of them.

Made with mlflow-skinny 3.17, wandb 0.31, tensorboardX 2.6, tbparse 0.0.9, lightning 2.6 and
transformers 5.24; none of them is needed here.
"""

from __future__ import annotations

import contextlib
import sys
import zipfile
from types import SimpleNamespace

import import_shapes
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_fixtures import EVERY, HERE, LOSS, PARAMS, RATE, RUNS, STEPS, TOKENS, loss_at

import scaling_laws as sl
from scaling_laws.data import workbooks
from scaling_laws.data.read_report import read_report

TRUTH = pd.DataFrame(
    [[PARAMS[r], TOKENS[r], LOSS[r], RATE[r]] for r in RUNS],
    index=pd.Index(RUNS, name="run"),
    columns=["params", "tokens", "loss", "learning_rate"],
)
SIZES = {"constants": {r: {"params": PARAMS[r]} for r in RUNS}}


NEEDS = {"tensorboard": "tbparse", "table": "openpyxl"}


def run_ids():
    """MLflow's own names of the runs."""
    table = pd.read_csv(HERE / "mlflow" / "search_runs.csv")
    return dict(zip(table["run_id"], table["tags.mlflow.runName"], strict=True))


def sources():
    by_id = {"constants": {i: {"params": PARAMS[r]} for i, r in run_ids().items()}}
    board = HERE / "tensorboard"
    return {
        "mlflow": (HERE / "mlflow" / "search_runs.csv", {}),
        "metric_history": (HERE / "mlflow" / "metric_history.csv", by_id),
        "wandb_history": ([HERE / "wandb" / f"{r}.csv" for r in RUNS], SIZES),
        "scalars": (board / "scalars.csv", SIZES),
        "tensorboard": (board / "events", SIZES),
        "lightning": (HERE / "lightning", SIZES),
        "table": (HERE / "excel" / "sweep.xlsx", {"columns": {"run": "Name"}}),
        "trainer_state": (HERE / "transformers", SIZES),
    }


def read(name, **options):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    source, given = sources()[name]
    frame = sl.read_runs(source, **given, **options)
    return frame.assign(run=frame.run.replace(run_ids()))


@pytest.mark.parametrize("name", sources())
def test_every_tool_gives_the_same_table(name):
    frame = read(name)
    found = frame.set_index("run")[list(TRUTH)].sort_index()
    pd.testing.assert_frame_equal(
        found, TRUTH, check_dtype=False, check_index_type=False, rtol=1e-7  # floats of 32 bits
    )  # fmt: skip
    assert import_shapes.accounted(frame)
    assert read_report(frame).dropped == 0
    assert "status" not in frame or set(frame.status) <= {"ok", "finished"}
    wanted = "metric_history" if name == "scalars" else name
    assert read_report(frame).format == wanted


@pytest.mark.parametrize("name", [n for n in sources() if n not in ("mlflow", "table")])
def test_every_tool_gives_the_same_checkpoints(name):
    frame = read(name, policy="all")
    for run in RUNS:
        losses = frame.loss[frame.run == run].tolist()
        steps = range(0, STEPS + 1, EVERY)
        wanted = [loss_at(run, step) for step in steps]
        if name in ("lightning", "trainer_state"):  # they evaluate after training steps only
            wanted = wanted[1:]
        assert losses == pytest.approx(wanted)


def test_a_workbook_without_openpyxl_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(sl.DataError, match=r"needs openpyxl.*pip install openpyxl"):
        sl.read_runs(HERE / "excel" / "sweep.xlsx")


SHEET = [("Sweep, of May",), (None, None), ("Name", "N", "lr", "val loss", "state"),
         ("a", "1,5M", 0.003, 3.25, None), ("b", 2_000_000, 1e-05, "#REF!", "crashed")]  # fmt: skip


@pytest.fixture
def sheets(monkeypatch):
    """Sheets that a stand-in for openpyxl finds in any workbook."""
    found = {"runs": SHEET, "empty": [(None,)]}

    def load_workbook(file, *, read_only, data_only):
        assert file.read(2) == b"PK"
        assert read_only
        assert data_only
        return SimpleNamespace(
            worksheets=[
                SimpleNamespace(
                    title=title, reset_dimensions=lambda: None,
                    iter_rows=lambda values_only, rows=rows: iter(rows),
                )
                for title, rows in found.items()
            ]
        )  # fmt: skip

    monkeypatch.setitem(sys.modules, "openpyxl", SimpleNamespace(load_workbook=load_workbook))
    return found


def test_cells_of_a_workbook_are_numbers_or_text(sheets):
    path = HERE / "excel" / "sweep.xlsx"
    frame = sl.read_runs(path, columns={"run": "Name"}, decimal=",")
    assert frame[["run", "params", "learning_rate"]].values.tolist() == [
        ["a", 1.5e6, 0.003],
        ["b", 2e6, 1e-05],
    ]
    assert frame.loss.fillna(0).tolist() == [3.25, 0]
    assert "cells_unreadable" in [n.code for n in read_report(frame).notes]
    dots = sl.read_runs(path, columns={"run": "Name"})
    assert dots.params.fillna(0).tolist() == [0, 2e6]  # "1,5M" is no number with decimal points


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"more": SHEET}, "2 sheets that are filled"),
        ({"runs": []}, "0 sheets that are filled"),
        ({"runs": [(None,) * 99] * 10}, "more than 900 cells"),
    ],
)
def test_workbooks_that_are_refused(sheets, rows, message, monkeypatch):
    monkeypatch.setattr(workbooks, "_MOST_CELLS", 900)
    sheets.update(rows)
    with pytest.raises(sl.DataError, match=message):
        sl.read_runs(HERE / "excel" / "sweep.xlsx")


def test_a_workbook_that_unpacks_to_too_much_is_refused(sheets, tmp_path, monkeypatch):
    monkeypatch.setattr(workbooks, "_MOST_BYTES", 1_000_000)
    path = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b" " * 2_000_000)
    with pytest.raises(sl.DataError, match="unpacks to 2 MB"):
        sl.read_runs(path)


@given(st.integers(0, 4000), st.integers(0, 255))
def test_a_damaged_workbook_is_a_table_or_an_error(tmp_path_factory, place, byte):
    pytest.importorskip("openpyxl")
    content = bytearray((HERE / "excel" / "sweep.xlsx").read_bytes())
    content[place % len(content)] = byte
    path = tmp_path_factory.mktemp("damaged") / "sweep.xlsx"
    path.write_bytes(bytes(content))
    with contextlib.suppress(sl.DataError):
        assert import_shapes.accounted(sl.read_runs(path))


def test_nothing_in_the_fixtures_tells_where_they_were_made():
    for path in HERE.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert len(content) < 50_000
            assert not any(word in content for word in (b"/tmp/", b"/home/", b"/root/", b"C:\\"))
