"""Backtests: cuts are honest, errors are those of a fit made by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from simulate import grid_runs

import scaling_laws as sl
from scaling_laws.inference.backtest import automatic_cuts


def test_errors_are_those_of_a_fit_made_by_hand():
    table = grid_runs(noise=0.01)
    flops = 6 * table.params * table.tokens
    cut = 1e20
    back = sl.backtest(table, "chinchilla", along="flops", cuts=[cut])
    fit = sl.Fitter(draws=0).fit(table[flops <= cut], "chinchilla")
    large = table[flops > cut]
    expected = np.log(fit.law(params=large.params, tokens=large.tokens) / large.loss)
    rows = back.rows.sort_index()
    np.testing.assert_allclose(rows.error, expected, rtol=1e-6, atol=1e-9)
    (line,) = back.table.to_dict("records")
    assert line["n_train"] == int((flops <= cut).sum())
    assert line["n_test"] == len(large)
    assert line["error"] == pytest.approx(expected.abs().mean(), rel=1e-6)
    assert line["bias"] == pytest.approx(expected.mean(), rel=1e-5)
    assert line["distance"] == pytest.approx(
        np.log10(flops[flops > cut] / flops[flops <= cut].max()).mean()
    )


@pytest.mark.parametrize("along", ["flops", "params", "tokens"])
def test_cuts_hold_out_what_is_larger(along):
    back = sl.backtest(grid_runs(noise=0.01), "chinchilla", along=along)
    assert (back.rows[along] > back.rows.cut).all()
    assert (back.rows.distance > 0).all()
    assert 1 <= len(back.table) <= 6
    assert back.table.cut.is_monotonic_increasing


def test_exact_data_have_no_error_at_any_distance():
    back = sl.backtest(grid_runs(noise=0.0), "chinchilla")
    assert back.table.error.max() < 1e-9


def test_a_law_that_is_wrong_gets_worse_with_distance():
    back = sl.backtest(grid_runs(noise=0.0), "product", along="flops")
    nearest, farthest = back.table.error.iloc[-1], back.table.error.iloc[0]
    assert farthest > 1.2 * nearest > 0.01


def test_one_input_laws_cut_along_it():
    table = pd.DataFrame({"samples": np.geomspace(10, 1e5, 12)})
    table["loss"] = 0.5 + 3 * table.samples**-0.4
    back = sl.backtest(table, "power_with_floor", inputs=("samples",))
    assert back.along == "samples"
    assert back.table.error.max() < 1e-6


def test_cuts_too_small_to_fit_are_noted_not_lost():
    back = sl.backtest(grid_runs(noise=0.01), "chinchilla", cuts=[2e16, 1e20])
    assert [n.code for n in back.notes] == ["cut_skipped"]
    assert back.table.cut.tolist() == [1e20]


def test_bad_questions():
    table = grid_runs()
    with pytest.raises(sl.DataError, match="no cut along"):
        sl.backtest(table, "chinchilla", cuts=[1e30])
    with pytest.raises(sl.DataError, match="no column 'width'"):
        sl.backtest(table, "chinchilla", along="width")
    with pytest.raises(sl.DataError, match="Did you mean 'robust'"):
        sl.backtest(table, "chinchilla", robus=None)
    with pytest.raises(sl.LawError, match="unknown law"):
        sl.backtest(table, "nothing")


def test_automatic_cuts_leave_enough_on_both_sides():
    axis = np.repeat(np.geomspace(1, 100, 20), 3)
    cuts = automatic_cuts(axis)
    share = [np.mean(axis <= c) for c in cuts]
    assert len(cuts) == 6
    assert min(share) >= 0.4
    assert max(share) <= 0.9


def test_text_and_html_show_the_table():
    back = sl.backtest(grid_runs(noise=0.01), "chinchilla")
    assert "Backtest of chinchilla along flops" in str(back)
    assert "<table" in back._repr_html_()
