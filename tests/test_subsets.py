import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scaling_laws as sl
from scaling_laws.measurement.token_subsets import index_digest, manifest, token_subsets


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


# -------------------------------------------------------------------------- groups and time


@given(st.lists(st.integers(0, 5), min_size=2, max_size=60), st.integers(0, 2**32), st.data())
def test_groups_are_whole_and_nested(labels, seed, data):
    labels = np.array(labels)
    n = len(labels)
    largest = int(np.bincount(labels).max())
    size = data.draw(st.integers(largest, n))
    (held,) = sl.subsets(n, [size], groups=labels, seed=seed).values()
    assert len(held) <= size < len(held) + largest + (len(held) == n)
    assert np.isin(labels, labels[held]).sum() == len(held)  # no group is split
    everything = sl.subsets(n, [n], groups=labels, seed=seed)[n]
    assert everything[: len(held)].tolist() == held.tolist()
    assert sorted(everything) == list(range(n))


def test_large_groups_do_not_come_first_more_often():
    labels = np.repeat([0, 1], [90, 10])
    first = [
        labels[next(iter(sl.subsets(100, [90], groups=labels, seed=s).values()))[0]]
        for s in range(400)
    ]
    assert abs(np.mean(first) - 0.5) < 0.1  # 4 standard errors


@given(st.lists(st.integers(0, 8), min_size=2, max_size=50), st.integers(0, 2**32), st.data())
def test_time_takes_the_samples_nearest_to_one_end(time, seed, data):
    size = data.draw(st.integers(1, len(time)))
    time = np.array(time)
    for keep, ordered in (("latest", np.sort(time)[::-1]), ("earliest", np.sort(time))):
        held = sl.subsets(len(time), [size], time=time, keep=keep, seed=seed)[size]
        assert time[held].tolist() == ordered[:size].tolist()


def test_dates_and_classes_together():
    days = np.arange("2024-01-01", "2024-04-10", dtype="datetime64[D]")
    labels = np.arange(len(days)) % 4 == 0
    held = sl.subsets(len(days), [40], time=days, stratify=labels)[40]
    assert labels[held].sum() == 10
    assert held.min() >= len(days) - 41  # the latest of each class


def test_equal_times_are_drawn_by_the_seed():
    first = {int(sl.subsets(20, [1], time=np.zeros(20), seed=s)[1][0]) for s in range(40)}
    assert len(first) > 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": [0] * 3}, "groups has shape"),
        ({"time": [0.0, 1.0, float("nan"), 2.0]}, "no time for sample 2"),
        ({"groups": np.array(["a", None, "b", "b"], dtype=object)}, "no group for sample 1"),
        ({"time": np.array([1, "a", 2, 3], dtype=object)}, "cannot be compared"),
        ({"groups": [0, 0, 1, 1], "stratify": [0, 1, 0, 1]}, "whole groups cannot also"),
        ({"groups": [0, 0, 0, 0]}, "cannot hold the first group, of 4"),
        ({"keep": "newest"}, "keep must be"),
    ],
)
def test_groups_and_times_that_cannot_be_used(options, message):
    with pytest.raises(sl.MeasureError, match=message):
        sl.subsets(4, [2], **options)


def test_sizes_that_hold_the_same_groups_are_refused():
    with pytest.raises(sl.MeasureError, match="same whole groups"):
        sl.subsets(8, [4, 5], groups=np.repeat([0, 1], 4))


# ------------------------------------------------------------------- tokens and manifests


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=40).filter(any),
    st.integers(0, 2**32),
    st.data(),
)
def test_budgets_of_tokens_are_met_and_nested(counts, seed, data):
    total = sum(counts)
    budgets = data.draw(st.sets(st.integers(1, total), min_size=1, max_size=5))
    chosen = token_subsets(counts, budgets, seed=seed)
    assert list(chosen) == sorted(budgets)
    everything = token_subsets(counts, [1.0], seed=seed)[total].indices
    for budget, subset in chosen.items():
        *before, last = subset.indices
        assert sum(counts[i] for i in before) + subset.last_tokens == budget == subset.tokens
        assert 0 < subset.last_tokens <= counts[last]
        assert everything[: len(subset)].tolist() == subset.indices.tolist()
        longest = max(counts)
        if budget >= longest:
            (whole,) = token_subsets(counts, [budget], whole=True, seed=seed).values()
            assert budget - longest < whole.tokens <= budget
            assert sum(counts[i] for i in whole.indices) == whole.tokens


def test_files_are_counted_by_a_tokenizer(tmp_path):
    for name, words in (("a", 3), ("b", 5), ("c", 0)):
        (tmp_path / name).write_text("word " * words, encoding="utf-8")
    files = sorted(tmp_path.iterdir())
    read = lambda path: path.read_text(encoding="utf-8").split()  # noqa: E731
    by_tokens = token_subsets(files, [8.0], tokens=read)
    by_count = token_subsets(files, [8], tokens=lambda path: len(read(path)))
    assert by_tokens[8].indices.tolist() == by_count[8].indices.tolist()
    assert sorted(by_tokens[8].indices) == [0, 1]


@pytest.mark.parametrize(
    ("documents", "budgets", "options", "message"),
    [
        ([], [1], {}, "no documents"),
        ([0, 0], [1], {}, "hold no tokens"),
        ("text", [1], {}, "must be a list"),
        ([1, -2], [1], {}, "document 1 has '-2'"),
        ([1, 2.5], [1], {}, "document 1 has '2.5'"),
        ([1, float("nan")], [1], {}, "document 1 has 'nan'"),
        ([True], [1], {}, "document 0 has 'True'"),
        (["a b"], [1], {}, "say with tokens= how to count"),
        (["a b"], [1], {"tokens": lambda text: None}, "must return a count"),
        ([5, 5], [11], {}, r"not in 1\.\.10"),
        ([5, 5], [0], {}, r"not in 1\.\.10"),
        ([5, 5], [1.5], {}, "neither a count"),
        ([5, 5], ["3"], {}, "neither a count"),
        ([5, 5], [True], {}, "neither a count"),
        ([5, 5], [], {}, "budgets is empty"),
        ([5, 5], [4], {"whole": True}, "does not fit"),
        ([5, 5], [6, 7], {"whole": True}, "as a smaller"),
    ],
)
def test_budgets_that_cannot_be_met(documents, budgets, options, message):
    with pytest.raises(sl.MeasureError, match=message):
        token_subsets(documents, budgets, **options)


def test_a_manifest_knows_its_subsets_again():
    chosen = sl.subsets(50, [5, 20], seed=1)
    used = manifest(chosen, seed=1, files=["a.txt"])
    assert used.matches(sl.subsets(50, [5, 20], seed=1))
    assert not used.matches(sl.subsets(50, [5, 20], seed=2))
    assert not used.matches({5: chosen[5]})
    assert not used.matches({5: chosen[5][::-1], 20: chosen[20]})
    text = json.dumps(used.to_dict())
    assert json.loads(text)["about"] == {"seed": 1, "files": ["a.txt"]}
    cut = token_subsets([9, 9], [12])
    assert not manifest(cut).matches(token_subsets([9, 9], [13]))
    assert index_digest([0, 1]) == hashlib.sha256(bytes([0] * 8 + [1] + [0] * 7)).hexdigest()[:16]
    with pytest.raises(sl.MeasureError, match="'model' cannot be kept"):
        manifest(chosen, model=object())
    with pytest.raises(sl.MeasureError, match="subsets by size"):
        manifest([1, 2])
