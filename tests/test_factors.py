"""Which input matters most at a point: elasticities, shares of what is left to gain, regime."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulate import TRUTH, grid_runs

import scaling_laws as sl
from scaling_laws.errors import DataError, PlanError

COEF = TRUTH.coef


@pytest.fixture(scope="module")
def fit():
    """A chinchilla fit without noise: its coefficients are the truth."""
    return sl.fit(grid_runs(noise=0.0), "chinchilla", draws=0)


@pytest.fixture(scope="module")
def noisy():
    return sl.fit(grid_runs(noise=0.005), "chinchilla", draws=200)


def terms(params, tokens):
    return COEF["A"] * params ** -COEF["alpha"], COEF["B"] * tokens ** -COEF["beta"]


@given(params=st.floats(1e7, 1e11), tokens=st.floats(1e8, 1e13))
@settings(max_examples=30, deadline=None)
def test_an_additive_law_has_the_shares_and_elasticities_of_its_terms(fit, params, tokens):
    found = sl.factors(fit, at={"params": params, "tokens": tokens})
    by_size, by_data = terms(params, tokens)
    loss = COEF["E"] + by_size + by_data
    assert found.value == pytest.approx(loss, rel=1e-4)
    assert found.limit == pytest.approx(COEF["E"], rel=1e-3)
    assert found.table.share.sum() == pytest.approx(1.0, abs=1e-6)
    assert found.table.share["params"] == pytest.approx(by_size / (by_size + by_data), rel=1e-3)
    wanted = -COEF["alpha"] * by_size / loss
    assert found.table.elasticity["params"] == pytest.approx(wanted, rel=1e-3)
    reducible = -COEF["beta"] * by_data / (by_size + by_data)
    assert found.table.reducible["tokens"] == pytest.approx(reducible, rel=1e-3)


def test_little_data_is_data_scarce_and_much_is_data_rich(fit):
    scarce = sl.factors(fit, at={"params": 1e11, "tokens": 1e9})
    rich = sl.factors(fit, at={"params": 1e7, "tokens": 1e13})
    assert (scarce.bottleneck, scarce.regime) == ("tokens", "data-scarce")
    assert (rich.bottleneck, rich.regime) == ("params", "data-rich")


def test_the_compute_optimum_is_balanced(fit):
    best = sl.Planner(fit).for_budget(flops=1e21).best
    at = {n: float(best[n]) for n in ("params", "tokens")}
    found = sl.factors(fit, at=at)
    assert found.regime == "balanced"
    slopes = found.table.elasticity
    assert slopes["params"] == pytest.approx(slopes["tokens"], rel=1e-3)


def test_intervals_hold_the_truth_and_the_chance_agrees(noisy):
    found = sl.factors(noisy, at={"params": 1e11, "tokens": 1e9}, level=0.95)
    for name, term, exponent in zip(
        ("params", "tokens"), terms(1e11, 1e9), ("alpha", "beta"), strict=True
    ):
        row = found.table.loc[name]
        assert row.elasticity_low < row.elasticity < row.elasticity_high
        truth = -COEF[exponent] * term / (COEF["E"] + sum(terms(1e11, 1e9)))
        assert row.elasticity_low <= truth <= row.elasticity_high
        assert 0 <= row.share_low <= row.share_high <= 1
    assert found.p_data_scarce == 1.0
    assert found.table.p_bottleneck.sum() == pytest.approx(1.0)


def test_a_coupled_law_need_not_have_shares_that_add_to_one():
    runs = sl.load_dataset("tiny_lm")
    found = sl.factors(sl.fit(runs, "coupled", draws=50), at={"params": 3e4, "tokens": 1e9})
    assert ((found.table.share >= -1e-9) & (found.table.share <= 1 + 1e-9)).all()


def test_a_selection_is_answered_like_a_fit():
    runs = sl.load_dataset("tiny_lm")
    chosen = sl.select(runs, ["chinchilla"], focuses=(0.0,), draws=50)
    found = sl.factors(chosen, at={"params": 3e4, "tokens": 1e9})
    assert found.bottleneck == "params"
    assert np.isfinite(found.table.elasticity_low).all()


def test_a_law_that_never_settles_has_elasticities_only():
    tokens = np.geomspace(1e6, 1e9, 12)
    runs = pd.DataFrame({"tokens": tokens, "loss": 9 - 0.3 * np.log(tokens)})
    found = sl.factors(
        sl.fit(runs, "logarithmic", inputs=("tokens",), draws=20), at={"tokens": 1e9}
    )
    assert "no_limit" in [n.code for n in found.notes]
    assert np.isnan(found.limit)
    assert found.table.share.isna().all()
    assert found.table.elasticity["tokens"] == pytest.approx(
        -0.3 / (9 - 0.3 * np.log(1e9)), rel=1e-3
    )
    assert found.regime is None


def test_a_score_that_grows_has_positive_elasticities():
    samples = np.geomspace(100, 1e5, 12)
    runs = pd.DataFrame({"samples": samples, "accuracy": 0.95 - 2 * samples**-0.5})
    law = sl.fit(runs, "power_with_floor", target="accuracy", inputs=("samples",), draws=20)
    found = sl.factors(law, at={"samples": 1000})
    assert found.table.elasticity["samples"] > 0
    assert found.limit == pytest.approx(0.95, abs=0.01)
    assert found.table.share["samples"] == pytest.approx(1.0)


def test_what_cannot_be_asked_is_refused_with_a_remedy(fit):
    with pytest.raises(DataError, match="one value for each"):
        sl.factors(fit, at={"params": 1e9})
    with pytest.raises(DataError, match="one number for 'tokens'"):
        sl.factors(fit, at={"params": 1e9, "tokens": [1e9, 1e10]})
    with pytest.raises(DataError, match="level"):
        sl.factors(fit, at={"params": 1e9, "tokens": 1e10}, level=90)
    with pytest.raises(PlanError, match=r"sl\.fit"):
        sl.factors(TRUTH, at={"params": 1e9, "tokens": 1e10})


def test_it_is_shown_and_goes_to_json(noisy):
    found = sl.factors(noisy, at={"params": 1e11, "tokens": 1e9})
    assert "bottleneck: tokens" in str(found)
    assert "data-scarce" in repr(found)
    assert "<table" in found._repr_html_()
    assert json.loads(json.dumps(found.to_dict()))["bottleneck"] == "tokens"
    assert found.to_frame() is not found.table


def test_without_draws_there_are_no_intervals(fit):
    found = sl.factors(fit, at={"params": 1e9, "tokens": 1e10})
    assert found.table.elasticity_low.isna().all()
    assert np.isnan(found.p_data_scarce)


def test_inputs_that_could_each_bring_everything_are_ranked_by_their_slopes():
    """Of a product either term alone leads to the floor: both shares are one."""
    runs = grid_runs(noise=0.0)
    runs["loss"] = 1.5 + 900 * runs.params**-0.1 * runs.tokens**-0.25
    law = sl.fit(runs, "product", inputs=("params", "tokens"), draws=0)
    found = sl.factors(law, at={"params": 1e9, "tokens": 1e10})
    np.testing.assert_allclose(found.table.share, 1.0, atol=1e-6)
    assert found.bottleneck == "tokens"
