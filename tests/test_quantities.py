"""Quantities: domains, messages, and compute that does not overflow."""

from __future__ import annotations

import numpy as np
import pytest

from scaling_laws.errors import DataError
from scaling_laws.quantities import (
    INPUT_NAMES,
    TARGET_NAMES,
    check_values,
    quantity,
    training_flops,
)


def test_training_flops_does_not_overflow_in_64_bit_integers():
    params, tokens = np.array([70_000_000_000]), np.array([1_400_000_000_000])
    with np.errstate(over="ignore"):
        assert (6 * params * tokens)[0] != 6 * 70_000_000_000 * 1_400_000_000_000  # the trap
    assert training_flops(params, tokens)[0] == pytest.approx(5.88e23, rel=1e-15)


def test_training_flops_of_scalars_is_a_float_and_arrays_broadcast():
    assert type(training_flops(7_000_000_000, 140_000_000_000)) is float
    assert training_flops(np.ones((2, 1)), np.ones(3)).shape == (2, 3)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("tokens", [1.0, np.nan], "'tokens' must be positive and finite: row 1 has nan"),
        ("tokens", [np.inf, 1.0], "'tokens' must be positive and finite: row 0 has inf"),
        ("params", [1.0, 2.0, 0.0], "'params' must be positive and finite: row 2 has 0.0"),
        ("params", [-1.0], "row 0 has -1.0. Drop the row or correct the value"),
        ("flops", [1e18, -3.2e18], "64-bit integer overflow: convert to float"),
        ("params", ["70B"], "'params' must hold numbers: got .*70B.*plain counts"),
        ("params", [None], "'params' must"),
        ("sparsity", [0.5, 1.2], r"'sparsity' must be in \[0, 1\]: row 1 has 1.2"),
        ("accuracy", [-0.1], r"'accuracy' must be in \[0, 1\]"),
        ("accuracy", [np.nan], r"'accuracy' must be in \[0, 1\]: row 0 has nan"),
        ("my_knob", [-np.inf], "'my_knob' must be finite: row 0 has -inf"),
    ],
)
def test_values_outside_the_domain_are_named(name, values, message):
    with pytest.raises(DataError, match=message):
        check_values(name, values)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("tokens", [1, 2]),
        ("sparsity", [0.0, 1.0]),
        ("my_knob", [-3.0, 0.0]),
        ("loss", [1.7]),
        ("params", ["1e9"]),
    ],
)
def test_values_inside_the_domain_pass_as_floats(name, values):
    checked = check_values(name, values)
    assert checked.dtype == np.float64
    np.testing.assert_array_equal(checked, np.array(values, dtype=float))


def test_a_domain_can_be_given():
    with pytest.raises(DataError, match="'my_knob' must be positive"):
        check_values("my_knob", [0.0], "positive")


def test_an_overflowed_flops_column_is_recognised():
    params = np.array([10_000_000_000, 70_000_000_000])
    tokens = np.array([200_000_000_000, 1_400_000_000_000])
    wrapped = 6 * params * tokens
    assert (wrapped < 0).any()
    with pytest.raises(DataError, match="64-bit integer overflow"):
        check_values("flops", wrapped)


def test_declared_quantities_are_complete_and_consistent():
    assert len({*INPUT_NAMES, *TARGET_NAMES}) == len(INPUT_NAMES) + len(TARGET_NAMES)
    for name in (*INPUT_NAMES, *TARGET_NAMES):
        declared = quantity(name)
        assert declared.name == name
        assert declared.meaning
        assert declared.meaning in declared.label
        if declared.bounds is not None:
            assert declared.domain == "fraction"
    assert quantity("loss").direction == "lower"
    assert quantity("loss").bounds is None
    assert quantity("accuracy").direction == "higher"


def test_an_undeclared_quantity_is_any_real_number():
    unknown = quantity("my_knob")
    assert (unknown.name, unknown.domain, unknown.unit) == ("my_knob", "real", "")


def test_a_score_with_a_cut_off_is_that_score():
    for name in ("recall@10", "ndcg_at_5", "hit_rate@100"):
        found = quantity(name)
        assert (found.name, found.bounds, found.direction) == (name, (0.0, 1.0), "higher")
    for name in ("loss@10", "recall@0", "recall@", "recall_10", "tokens_at_5", "sparsity@2"):
        assert quantity(name).bounds is None


def test_a_share_in_percent_is_told_how_to_become_one():
    with pytest.raises(DataError, match=r"row 1 has 93\.0\. Is it in percent\? Then divide by 100"):
        check_values("accuracy", [0.9, 93.0])
    with pytest.raises(DataError, match="Drop the row"):
        check_values("accuracy", [0.9, -3.0])
