"""The comparison with other tools: what is judged here, and the tables of `docs/peers.md`."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import check_grad

ROOT = Path(__file__).parents[1]
HERE = ROOT / "benchmarks" / "peers"
RECORDED = json.loads((HERE / "results.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def scripts():
    """The benchmark's own modules, forgotten afterwards: their names are common ones."""
    sys.path.insert(0, str(HERE))
    try:
        yield {name: importlib.import_module(name) for name in ("tools", "page", "compare")}
    finally:
        sys.path.remove(str(HERE))
        for name in ("tools", "page", "compare"):
            sys.modules.pop(name, None)


def entry(tool, fit, errors, covers=None):
    """What is stored of a tool: processor seconds of its rounds, and scores of splits s0, s1..."""
    splits = {}
    for i, error in enumerate(errors):
        split = {"kind": "CL"[i % 2], "family": "f"}
        told = {"error": error, "seconds": [9.0, 2.0]}
        if covers:
            told |= {"cover": covers[i], "score": 4 * error}
        splits[f"s{i}"] = split | (told if np.isfinite(error) else {"refused": "no"})
    rounds = [
        {"import": [9.0, 0.5], "first": [9.0, 1.5], "fit": [9.0, s], "peak_bytes": 2**21}
        for s in fit
    ]
    return {
        "tool": tool, "version": "1", "minimises": "m", "intervals": "i",
        "objective": 0.001, "rounds": rounds, "splits": splits,
    }  # fmt: skip


@pytest.fixture
def tools(scripts):
    page = scripts["page"]
    return [
        entry(page.SELECT, [1.0, 1.0, 1.0], [0.01, 0.02, 0.01], [1.0, 0.5, 1.0]),
        entry(page.FIT, [0.1, 0.2, 0.4], [0.02, 0.02, 0.02], [1.0, 1.0, 1.0]),
        entry("peer", [0.2, 0.8, 1.2], [0.03, np.inf, 0.005]) | {"objective": 0.0011},
        {"tool": "other", "minimises": "m", "absent": True},
    ]


def cells(lines, tool):
    [line] = [line for line in lines if line.startswith(f"| {tool} |")]
    return [c.strip() for c in line.strip("|").split("|")]


def test_ratios_are_taken_round_by_round(scripts, tools):
    lines = scripts["page"].fit_table(tools)
    row = dict(zip(cells(lines, "tool"), cells(lines, "peer"), strict=True))
    assert row["warm fit, times ours"] == "3 (2 to 4)"  # the ratio of medians would be 4
    assert row["warm fit [s]"] == "0.8"
    assert row["above the best [%]"] == "10.0000"
    assert row["peak [MiB]"] == "2"
    assert row["draws/s"] == "none"


def test_an_absent_tool_has_a_row_without_numbers(scripts, tools):
    lines = scripts["page"].fit_table(tools)
    row = cells(lines, "other")
    assert row[1] == "absent"
    assert len(row) == len(cells(lines, "tool"))
    assert not any(row[3:])


def test_a_refused_split_is_worse_than_any_answer(scripts, tools):
    lines = scripts["page"].split_table(tools)
    row = dict(zip(cells(lines, "tool"), cells(lines, "peer"), strict=True))
    assert row["answered"] == "2 of 3"
    assert row["error [%]"] == "3"  # of 0.5, 3 and a refusal
    assert row["worse than `select`"] == "67 %"
    assert row["cover 90 %"] == "none"
    assert row["seconds a split"] == "2"  # of the processor


def test_coverage_is_told_by_what_was_held_out(scripts, tools):
    lines = scripts["page"].kind_table(tools)
    assert cells(lines, "tool")[1:] == ["top of compute (2)", "a decade or more below (1)"]
    assert cells(lines, scripts["page"].SELECT)[1:] == ["1, 1.00", "2, 0.50"]


def test_interval_score_is_width_and_twenty_times_the_miss(scripts):
    judged = scripts["compare"].judged
    found = {"answer": [[1.0, 1.0], [2.0, 2.0], [4.0, 4.0]], "seconds": [1.0, 1.0]}
    score = judged(found, [2.0, 8.0])
    assert score["error"] == pytest.approx(np.log(4) / 2)
    assert score["cover"] == 0.5
    assert score["score"] == pytest.approx(np.log(4) + 20 * np.log(2) / 2)


@pytest.mark.parametrize("middle", [[-1.0, 1.0], [np.nan, 1.0]])
def test_a_prediction_that_is_no_loss_is_no_answer(scripts, middle):
    found = {"answer": [None, middle, None], "seconds": [1.0, 1.0]}
    assert "refused" in scripts["compare"].judged(found, [1.0, 1.0])


def test_an_interval_without_ends_is_none(scripts):
    found = {"answer": [[np.nan], [1.0], [2.0]], "seconds": [1.0, 1.0]}
    assert "cover" not in scripts["compare"].judged(found, [1.0])


def test_scipy_alone_is_given_the_right_gradient_and_finds_the_law(scripts):
    module = scripts["tools"]
    rng = np.random.default_rng(3)
    truth = {"E": 1.8, "A": 480.0, "alpha": 0.35, "B": 2100.0, "beta": 0.37}
    points = 10 ** rng.uniform(8, 11, (60, 2))
    rows = np.column_stack([points, module._additive(truth, points)])
    logs, target = np.log(rows[:, :2].T), np.log(rows[:, 2])
    for theta in ([0.5, 6.0, 7.0, 0.3, 0.4], [0.6, 6.2, 7.7, 0.35, 0.37]):
        slope = module._objective(np.array(theta), logs, target)[1]
        error = check_grad(
            lambda t: module._objective(t, logs, target)[0],
            lambda t: module._objective(t, logs, target)[1],
            np.array(theta),
        )
        assert error < 1e-4 * np.abs(slope).max()
    found = module._named(module._search(rows, module._starts(100)))
    assert module._additive(found, points) == pytest.approx(rows[:, 2], rel=1e-6)


def test_the_page_holds_the_recorded_tables(scripts, tmp_path):
    page = ROOT / "docs" / "peers.md"
    copy = tmp_path / "page.md"
    copy.write_text(page.read_text(encoding="utf-8"), encoding="utf-8")
    scripts["page"].write_page(RECORDED, copy)
    assert copy.read_text(encoding="utf-8") == page.read_text(encoding="utf-8")


def test_the_recorded_run_is_of_one_commit():
    assert len(RECORDED["about"]["commit"]) == 40
    assert not RECORDED["about"]["changed_since_commit"]
