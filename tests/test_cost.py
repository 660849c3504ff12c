"""What a run costs, forwards and backwards."""

import copy
import pickle

import numpy as np
import pytest

from scaling_laws.errors import PlanError
from scaling_laws.planning.cost import Cost, get_cost


def test_cost_and_its_inverses_agree():
    cost = get_cost("6ND")
    params, tokens = np.array([1e8, 7e10]), np.array([2e9, 1.4e12])
    flops = cost.flops(params, tokens)
    np.testing.assert_allclose(flops, [1.2e18, 5.88e23], rtol=1e-15)
    np.testing.assert_allclose(cost.tokens(flops, params), tokens, rtol=1e-15)
    np.testing.assert_allclose(cost.params(flops, tokens), params, rtol=1e-15)


def test_scalars_give_plain_floats():
    assert type(Cost("6ND").flops(7e10, 1.4e12)) is float


def test_integers_do_not_overflow():
    cost = Cost("6ND")
    assert cost.flops(np.int64(70_000_000_000), np.int64(1_400_000_000_000)) == 6 * 7e10 * 1.4e12
    assert cost.tokens(10**24, np.int64(7_000_000_000)) == 10**24 / (6 * 7e9)


@pytest.mark.parametrize(("written", "kappa"), [("6ND", 6), ("8ND", 8), ("6.5 N D", 6.5)])
def test_written_costs(written, kappa):
    assert get_cost(written).kappa == kappa


@pytest.mark.parametrize("wrong", ["ND", "6NT", "", 6, None])
def test_unknown_cost_says_how_to_write_one(wrong):
    with pytest.raises(PlanError, match="such as '6ND'"):
        get_cost(wrong)


@pytest.mark.parametrize("kappa", [0, -6, float("nan"), float("inf"), "6", True])
def test_kappa_must_be_positive(kappa):
    with pytest.raises(PlanError, match="kappa"):
        Cost("mine", kappa)


def test_costs_are_values():
    cost = Cost("with recomputation", 8)
    assert get_cost(cost) is cost
    assert pickle.loads(pickle.dumps(cost)) == copy.deepcopy(cost) == cost
    assert hash(cost) == hash(Cost("with recomputation", 8))
