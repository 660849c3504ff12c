import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scaling_laws as sl


@st.composite
def labelled(draw):
    labels = draw(st.lists(st.integers(0, 6), min_size=7, max_size=120))
    least = len(set(labels))
    sizes = draw(st.sets(st.integers(least, len(labels)), min_size=1, max_size=8))
    return np.array(labels), sorted(sizes), draw(st.integers(0, 2**32))


@given(labelled())
def test_nested_stratified_and_repeatable(case):
    labels, sizes, seed = case
    chosen = sl.subsets(len(labels), sizes, stratify=labels, seed=seed)
    assert list(chosen) == sizes
    previous = np.array([], dtype=int)
    for size, indices in chosen.items():
        assert len(np.unique(indices)) == size
        assert indices[: len(previous)].tolist() == previous.tolist()
        previous = indices
        for label in np.unique(labels):
            share = size * np.mean(labels == label)
            assert abs(np.sum(labels[indices] == label) - share) < 1 + 1e-9
    again = sl.subsets(len(labels), sizes[-1:], stratify=labels, seed=seed)
    assert again[sizes[-1]].tolist() == previous.tolist()


@given(st.integers(1, 200), st.integers(0, 2**32), st.data())
def test_plain_subsets_are_nested(n, seed, data):
    sizes = data.draw(st.sets(st.integers(1, n), min_size=1, max_size=6))
    chosen = sl.subsets(n, sizes, seed=seed)
    largest = chosen[max(sizes)]
    for size, indices in chosen.items():
        assert indices.tolist() == largest[:size].tolist()
        assert set(indices) <= set(range(n))


def test_fractions_counts_and_text_labels():
    labels = np.array(["cat", "dog"])[np.arange(100) % 2]
    chosen = sl.subsets(100, [0.25, 1.0, np.int64(10)], stratify=labels)
    assert list(chosen) == [10, 25, 100]
    assert np.sum(labels[chosen[10]] == "cat") == 5
    assert sorted(chosen[100]) == list(range(100))


def test_seeds_differ_and_the_choice_is_spread():
    assert (
        sl.subsets(1000, [50], seed=0)[50].tolist() != sl.subsets(1000, [50], seed=1)[50].tolist()
    )
    assert 300 < sl.subsets(1000, [50], seed=0)[50].mean() < 700


def test_a_subset_is_the_caller_s_own():
    chosen = sl.subsets(10, [5, 10])
    chosen[5][:] = -1
    assert chosen[10].min() == 0


@pytest.mark.parametrize(
    ("n", "sizes", "message"),
    [
        (10, [0], r"size 0 is not in 1\.\.10"),
        (10, [11], r"size 11 is not in 1\.\.10"),
        (10, [1.5], "neither a count"),
        (10, [0.0], "neither a count"),
        (10, [True], "neither a count"),
        (10, ["5"], "neither a count"),
        (10, [float("nan")], "neither a count"),
        (10, [0.01], "rounds to 0"),
        (10, [5, 0.5], "more than once"),
        (10, [], "empty"),
        (10, 5, r"write \[5\]"),
        (0, [1], "n must be a whole number"),
        (True, [1], "n must be a whole number"),
    ],
)
def test_malformed_sizes(n, sizes, message):
    with pytest.raises(sl.MeasureError, match=message):
        sl.subsets(n, sizes)


def test_malformed_labels():
    with pytest.raises(sl.MeasureError, match="2 samples cannot hold all 3 classes"):
        sl.subsets(6, [2, 6], stratify=[0, 1, 2, 0, 1, 2])
    with pytest.raises(sl.MeasureError, match="one class for each of the 6"):
        sl.subsets(6, [3], stratify=[0, 1])
