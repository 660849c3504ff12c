"""The notebooks that explain run, and what they say is so."""

from __future__ import annotations

import os
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from scaling_laws.laws import registry
from scaling_laws.laws.registry import list_laws

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"


@pytest.fixture
def told(request, monkeypatch):
    """Names that the notebook of the test's own name leaves behind; laws it registers are gone."""
    list_laws()
    for name in ("_families", "_aliases", "_loaded"):
        monkeypatch.setattr(registry, name, getattr(registry, name).copy())
    digitised = ROOT.parent / "shared" / "data" / "chinchilla_epoch.csv"
    if digitised.exists():
        monkeypatch.setenv("SCALING_LAWS_CHINCHILLA", str(digitised))
    return runpy.run_path(str(NOTEBOOKS / f"{request.function.__name__[5:]}.py"))


def test_quickstart(told):
    assert told["fit"].coef.keys() == {"E", "A", "alpha", "B", "beta"}
    assert told["runs"].tokens.max() > 1e7  # millions were read as such
    assert "rows_dropped" in {note.code for note in told["fit"].notes}
    assert told["error"] < 0.03
    assert told["inside"] > 0.7
    best = told["plan"].best
    np.testing.assert_allclose(6 * best["params"] * best["tokens"], best["flops"])
    point = told["point"]
    assert told["again"].predict(**point).equals(told["selection"].predict(**point))


def test_replicating_chinchilla(told):
    ways, truth, growth = told["ways"], told["truth"], told["growth"]
    assert ways.objective["sum"] == pytest.approx(ways.objective["library"], rel=1e-4)
    assert ways.objective["mean"] > 1.01 * ways.objective["library"]
    right = growth(truth.coef)
    assert abs(ways.a["sum"] - right) < 0.01 < abs(ways.a["mean"] - right)
    assert np.abs(told["off"]).mean() > 0.003
    assert told["needed"] > 5000
    assert told["table"].tokens_per_param["Besiroglu"] < 20
    assert told["table"].tokens_per_param["Hoffmann, rounded"] > 90
    assert told["bias"][2] < told["bias"][4] < told["bias"][16] < 0.06
    if os.environ.get("SCALING_LAWS_CHINCHILLA"):
        assert growth(told["replicated"].coef) == pytest.approx(0.513, abs=0.005)


def test_choosing_a_law(told):
    seen, ahead = told["table"]["in the sample"], told["table"]["held out"]
    assert seen["chinchilla"] < seen["kaplan_with_floor"]
    assert ahead["chinchilla"] > 2 * ahead["kaplan_with_floor"]
    assert abs(seen["translog"] / seen["coupled"] - 1) < 0.1
    assert ahead["translog"] > 1.5 * ahead["coupled"]
    assert ahead.idxmin() == "select"
    assert told["inside"].mean() > 0.7


def test_how_much_more_data(told):
    assert told["near"].feasible
    assert told["near"].low["samples"] < told["first"] < told["near"].high["samples"]
    assert not told["far"].feasible
    assert told["reached"] == told["first"]
    ahead = told["ahead"]
    assert ((ahead.error_low < ahead.measured) & (ahead.measured < ahead.error_high)).mean() > 0.6


def test_planning_under_constraints(told):
    days, both, served, free = (told[n] for n in ("days", "both", "served", "free"))
    assert days.best["seconds"] == pytest.approx(3 * 86400)
    assert both.binding == ("dollars",)
    assert both.best["dollars"] == pytest.approx(1000)
    assert not told["soon"].feasible
    assert 86400 < told["late"].best["seconds"] < 30 * 86400
    assert served.best["params"] == pytest.approx(2e9)
    assert served.best["loss"] > free.best["loss"]
    assert told["lifetime"]["params"] < told["training_only"]["params"]
    assert told["four"].best["epochs"] == pytest.approx(4)
    assert told["scarce"].best["loss"] < told["four"].best["loss"]
    assert told["built"].best["params"] in told["shelf"]


def test_comparing_recipes(told):
    multiplier = told["multiplier"].multiplier
    assert multiplier.between(1.3, 1.7).all()
    found = told["found"]
    assert found.winner.iloc[0] == "fading"
    assert found.winner.iloc[-1] == "reference"
    assert (np.sign(found.difference) == np.sign(found.true)).all()
    crossing = float(told["faded"].crossing().crossing.iloc[0])
    assert told["scales"][1] < crossing < told["scales"][2]


def test_writing_your_own_law(told):
    assert told["low"] < 0.4 < told["high"]
    best, held = told["plan"].best, 1e10
    assert 6 * best["params"] * (held + best["tokens"]) == pytest.approx(1e21)


def test_every_notebook_is_run_and_described():
    names = {path.stem for path in NOTEBOOKS.glob("*.py")}
    run = {name[5:] for name in globals() if name.startswith("test_")}
    run |= set(re.findall(r'"(\w+)"', (ROOT / "tests" / "test_notebooks.py").read_text()))
    page = (ROOT / "docs" / "notebooks.md").read_text(encoding="utf-8")
    assert names - run == set()
    assert {name for name in names if f"(../notebooks/{name}.py)" not in page} == set()
