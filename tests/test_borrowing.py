"""Groups that lend each other exponents in `select`."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scaling_laws as sl
from scaling_laws.fitting.groups import split_groups
from scaling_laws.fitting.selector import Selector
from scaling_laws.inference.borrowing import _typical, borrowed
from scaling_laws.inference.trials import make_cuts, run_trial


def table(exponents, rows, noise, seed):
    rng = np.random.default_rng(seed)
    parts = []
    for i, (alpha, n) in enumerate(zip(exponents, rows, strict=True)):
        x = np.geomspace(1e6, 1e8, n)
        loss = (1.5 + 0.2 * i + 50.0 * x**-alpha) * np.exp(noise * rng.standard_normal(n))
        parts.append(pd.DataFrame({"tokens": x, "loss": loss, "corpus": f"c{i}"}))
    return pd.concat(parts, ignore_index=True)


def trials(data):
    family = sl.get_law("power_with_floor", ("tokens",))
    selector = Selector()
    runs = selector.check(data, family, "loss", {}, None, None, "corpus")
    return [
        run_trial(selector, r, family, make_cuts(r, "tokens"))
        for r in split_groups(runs, "corpus").values()
    ]


def test_a_group_is_told_of_the_others_and_never_of_itself():
    found = borrowed(trials(table([0.3, 0.3, 0.6], [20, 20, 20], 1e-4, 0)))
    assert found[2]["alpha"][0] == pytest.approx(0.3, abs=0.01)
    assert 0.35 < found[0]["alpha"][0] < 0.5  # of 0.3 and 0.6, the first known better
    assert set(found[0]) == {"alpha"}  # floors and amplitudes are a group's own


def test_groups_that_differ_lend_loosely():
    alike = borrowed(trials(table([0.3] * 4, [20] * 4, 1e-4, 0)))[0]["alpha"]
    unlike = borrowed(trials(table([0.3, 0.2, 0.4, 0.8], [20] * 4, 1e-4, 0)))[0]["alpha"]
    assert alike[1] == pytest.approx(0.3 * alike[0], rel=0.05)  # the least spread
    assert unlike[1] > 1.5 * alike[1]


def test_a_short_group_extrapolates_better_among_others():
    alone, among = [], []
    for seed in range(4):
        data = table([0.3] * 4, [20, 20, 20, 7], 0.01, seed)
        truth = 1.5 + 0.6 + 50.0 * 1e10**-0.3
        short = data[data.corpus == "c3"].drop(columns="corpus")
        laws = ["power_with_floor"]
        options = {"inputs": ("tokens",), "draws": 0}
        own = sl.select(short, laws, **options).predict(tokens=1e10).loss[0]
        shared = sl.select(data, laws, group="corpus", **options)
        alone.append(abs(np.log(own / truth)))
        among.append(abs(np.log(shared.predict(corpus="c3", tokens=1e10).loss[0] / truth)))
    assert np.mean(among) < np.mean(alone)


@given(
    st.lists(st.tuples(st.floats(0.05, 3.0), st.floats(0.1, 1e3)), min_size=1, max_size=6),
    st.randoms(),
)
@settings(max_examples=50, deadline=None)
def test_what_is_lent_lies_among_the_lenders_in_any_order(told, random):
    groups = [{"alpha": pair} for pair in told]
    centre, sd = _typical(groups)["alpha"]
    values = [value for value, _ in told]
    assert min(values) - 1e-9 <= centre <= max(values) + 1e-9
    assert sd >= 0.3 * centre * (1 - 1e-9)
    random.shuffle(groups)
    assert _typical(groups)["alpha"] == pytest.approx((centre, sd), rel=1e-9)


def test_selections_turned_to_another_direction_still_lend():
    rng = np.random.default_rng(0)
    parts = []
    for i in range(3):
        n, d = np.meshgrid(np.geomspace(1e7, 1e9, 5), np.geomspace(1e9, 1e11, 5))
        loss = 1.7 + 0.1 * i + 400 * n.ravel() ** -0.34 + 900 * d.ravel() ** -0.33
        loss = loss * np.exp(0.003 * rng.standard_normal(25))
        parts.append(pd.DataFrame({"params": n.ravel(), "tokens": d.ravel(), "loss": loss, "g": i}))
    grouped = sl.select(pd.concat(parts), ["chinchilla"], group="g", focuses=(0.0,), draws=20)
    turned = [grouped[i].toward("params") for i in range(3)]
    assert all(t.along == "params" for t in turned)
    own = sl.select(parts[0].drop(columns="g"), ["chinchilla"], focuses=(0.0,), draws=20)
    apart = own.toward("params").law.values
    assert not np.allclose(turned[0].law.values, apart, rtol=1e-9)
