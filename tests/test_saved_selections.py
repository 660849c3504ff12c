"""Selections survive the way through a file."""

import copy
import json
import pickle

import numpy as np
import pandas as pd
import pytest

import scaling_laws as sl


@pytest.fixture(scope="module")
def selection():
    return sl.select(sl.load_dataset("tiny_lm"), draws=100)


def test_saved_twice_it_predicts_the_same(selection, tmp_path):
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    selection.save(first)
    loaded = sl.load(first)
    loaded.save(second)
    assert first.read_text() == second.read_text()
    at = {"params": [1e6, 1e8], "tokens": [1e8, 1e10]}
    for again in (loaded, sl.load(second)):
        pd.testing.assert_frame_equal(again.predict(**at), selection.predict(**at), rtol=1e-14)
        pd.testing.assert_frame_equal(
            again.uncertainty(**at), selection.uncertainty(**at), rtol=1e-12
        )
        pd.testing.assert_frame_equal(again.table, selection.table, check_dtype=False)
        assert again.weights == pytest.approx(selection.weights, rel=1e-14)
        assert again.notes == selection.notes
    plans = [sl.Planner(s).for_budget(flops=1e15).best for s in (selection, loaded)]
    assert plans[0] == pytest.approx(plans[1], rel=1e-12)


def test_a_loaded_selection_turns_to_other_directions(selection, tmp_path):
    path = tmp_path / "selection.json"
    selection.save(path)
    beyond = {"params": 1e9, "tokens": 1e7}
    pd.testing.assert_frame_equal(
        sl.load(path).predict(**beyond), selection.predict(**beyond), rtol=1e-10
    )


def test_selections_of_groups(tmp_path):
    x = np.tile(np.geomspace(1e6, 1e9, 12), 3)
    corpus = np.repeat(["pile", "stack", "web"], 12)
    level = np.repeat([2.0, 1.2, 1.5], 12)
    runs = {"tokens": x, "corpus": corpus, "loss": level + 80 * x**-0.3}
    grouped = sl.select(runs, inputs=("tokens",), group="corpus", draws=40)
    path = tmp_path / "grouped.json"
    grouped.save(path)
    loaded = sl.load(path)
    at = {"corpus": ["stack", "web"], "tokens": [1e10, 1e11]}
    pd.testing.assert_frame_equal(loaded.predict(**at), grouped.predict(**at), rtol=1e-12)
    assert list(loaded.groups) == list(grouped.groups)


def test_copies_and_damaged_files(selection, tmp_path):
    for again in (copy.deepcopy(selection), pickle.loads(pickle.dumps(selection))):
        assert again.weights == selection.weights
    path = tmp_path / "selection.json"
    selection.save(path)
    data = json.loads(path.read_text())
    del data["predictive"]["spread"]
    path.write_text(json.dumps(data))
    with pytest.raises(sl.DataError, match="damaged"):
        sl.load(path)
    path.write_text(json.dumps({**data, "format": 99}))
    with pytest.raises(sl.DataError, match="format 99"):
        sl.load(path)
