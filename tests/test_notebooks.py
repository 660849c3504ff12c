"""The notebooks run, in their short form, and what they predict is what they measure."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


def test_digits(monkeypatch, capsys):
    pytest.importorskip("sklearn")
    monkeypatch.setenv("SCALING_LAWS_SHORT", "1")
    told = runpy.run_path(str(NOTEBOOKS / "digits.py"))
    assert (told["curve"].status == "ok").all()
    assert told["plan"].best["samples"] > told["largest"]
    found = told["found"]
    assert found.inside
    assert found.low < found.predicted < found.high < told["one"].error.max()
    assert "predicted" in capsys.readouterr().out
