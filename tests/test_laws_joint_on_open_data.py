"""Laws of several inputs on the open data they were made for, beside simpler ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import scaling_laws as sl

POINT = sl.Fitter(draws=0)


def spread(runs: pd.DataFrame, law: str, **options: object) -> float:
    """Root mean square of a fit's residuals."""
    return float(np.sqrt(np.mean(POINT.fit(runs, law, **options).residuals ** 2)))


def test_farseer(shared_data):
    """The published constants on published runs; and a fit closer than other joint laws."""
    runs = pd.read_csv(shared_data / "scalebench_farseer.csv")
    law = sl.get_law("farseer").with_coef(sl.get_law("farseer").example)
    error = np.log(law(params=runs.params, tokens=runs.tokens) / runs.loss)
    assert abs(error.mean()) < 0.001
    assert np.sqrt(np.mean(error**2)) < 0.0035
    some = runs.iloc[::6]
    found = {n: spread(some, n) for n in ("farseer", "coupled", "chinchilla", "bottleneck")}
    assert found["farseer"] < 0.002 < found["coupled"] < 0.003
    assert found["chinchilla"] > 3 * found["farseer"]
    assert found["bottleneck"] > 10 * found["farseer"]


def test_width_and_depth_say_more_than_their_product(shared_data):
    runs = pd.read_csv(shared_data / "gemstones.csv").query("schedule == 'cooldown'").iloc[::2]
    shaped, plain = spread(runs, "width_depth"), spread(runs, "chinchilla")
    assert shaped < 0.008
    assert plain > 2 * shaped


@pytest.fixture(scope="module")
def repeated(shared_data):
    runs = pd.read_csv(shared_data / "datablations.csv")
    return runs[runs.in_fit_set]


@pytest.mark.parametrize(
    ("law", "most"),
    [
        ("repeated_data_overfit", 0.045),
        ("repeated_data_ratio", 0.063),
        ("repeated_data_limit", 0.066),
        ("repeated_data_decay", 0.075),
        ("repeated_data_geometric", 0.080),
    ],
)
def test_repeated_data(repeated, law, most):
    assert spread(repeated, law) < most < 0.084 < spread(repeated, "chinchilla")


def test_passes_lose_their_utility(repeated):
    """One model of 2.8 billion parameters, up to fourteen passes."""
    runs = repeated[repeated.params == 2.81e9]
    fading = spread(runs, "utility_half_life")
    assert fading < 0.0065
    assert spread(runs, "product_with_floor", inputs=("unique_tokens", "epochs")) > 1.3 * fading
    assert spread(runs, "power_with_floor", inputs=("tokens",)) > 2.5 * fading


@pytest.mark.parametrize("law", ["experts_interaction", "experts_two_rates"])
def test_experts_of_all_routers_together(shared_data, law):
    runs = pd.read_csv(shared_data / "scalebench_moe.csv")
    runs = runs.rename(columns={"num_experts": "experts", "dense_params": "params"}).iloc[::2]
    assert spread(runs, law) < 0.99 * spread(runs, "experts_product")


@pytest.mark.parametrize("corpus", ["c4_original", "rpj", "rw_original"])
def test_over_training_is_the_tied_law_of_params_and_tokens(shared_data, corpus):
    runs = pd.read_csv(shared_data / "overtraining.csv").query("train_dataset == @corpus")
    runs = runs[runs.token_multiplier > 5]
    columns = {"loss": "loss_c4", "flops": "flops_6nd"}
    ratio = {**columns, "tokens_per_param": "token_multiplier"}
    rays = POINT.fit(runs, "over_training", columns=ratio)
    tied = POINT.fit(runs, "chinchilla_tied", columns=columns)
    assert 2 * rays.coef["eta"] == pytest.approx(tied.coef["alpha"], rel=0.01)
    assert rays.coef["E"] == pytest.approx(tied.coef["E"], rel=0.01)
    assert np.sqrt(np.mean(rays.residuals**2)) < 0.0125


@pytest.mark.parametrize("domain", [1, 4])
def test_a_domain_and_what_the_others_do_to_it(shared_data, domain):
    runs = pd.read_csv(shared_data / "scalebench_domain_mixture.csv").query("group == '410M'")
    shares = [f"proportion_domain_{i}" for i in range(1, 6)]
    own = shares.pop(domain - 1)
    options = {"inputs": (own, *shares), "columns": {"loss": f"loss_domain_{domain}"}}
    assert spread(runs, "mixture_own", **options) < 0.004
    assert spread(runs, "mixture_inverse", **options) > 1.2 * spread(runs, "mixture_own", **options)
