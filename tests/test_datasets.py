import numpy as np
import pytest

import scaling_laws as sl


def test_both_data_sets_come_with_the_package():
    assert {"digits", "tiny_lm"} <= set(sl.list_datasets())


def test_unknown_names_get_a_suggestion():
    with pytest.raises(sl.DataError, match="Did you mean 'tiny_lm'"):
        sl.load_dataset("tiny_lms")


@pytest.mark.parametrize("name", ["digits", "tiny_lm"])
def test_every_column_is_described_and_usable(name):
    runs = sl.load_dataset(name)
    assert list(runs.columns) == list(runs.attrs["columns"])
    assert len(runs) == runs.attrs["runs"]
    assert np.isfinite(runs.to_numpy(dtype=float)).all()
    for field in ("description", "command", "date", "versions", "total_seconds", "threads_per_run"):
        assert runs.attrs[field]
    assert runs.attrs["total_seconds"] == pytest.approx(runs.seconds.sum(), rel=1e-3)


class TestTinyLm:
    runs = property(lambda self: sl.load_dataset("tiny_lm"))

    def test_spans_what_a_joint_law_needs(self):
        runs = self.runs
        assert len(runs) >= 60
        assert runs.params.nunique() >= 6
        assert runs.params.max() / runs.params.min() > 100
        assert runs.tokens.nunique() >= 6
        assert runs.tokens.max() / runs.tokens.min() > 100
        assert runs.flops.max() / runs.flops.min() > 1000
        assert (runs.groupby(["params", "tokens"]).seed.nunique() >= 3).sum() >= 6
        assert (runs.flops > runs.flops.max() / 10).sum() >= 8

    def test_counts_are_consistent(self):
        runs = self.runs
        assert (runs.params == 12 * runs.depth * runs.width**2).all()
        assert np.allclose(runs.flops, 6.0 * runs.params * runs.tokens)
        assert (runs.tokens == runs.steps * runs.batch_size).all()

    def test_loss_falls_with_size_and_with_data(self):
        mean = self.runs.groupby(["params", "tokens"]).loss.mean().unstack()
        with_data = np.log(mean).diff(axis=1).stack().dropna()
        with_size = np.log(mean).diff(axis=0).stack().dropna()
        assert (with_data < 0).all()
        # Where data is what is short, size gains less than one seed differs from the next.
        assert (with_size < 0.02).all()
        assert (with_size < 0).mean() > 0.9
        assert 0.5 < mean.min().min() < mean.max().max() < np.log(256)


class TestDigits:
    runs = property(lambda self: sl.load_dataset("digits"))

    def test_is_a_full_grid_with_repeats(self):
        runs = self.runs
        cells = runs.groupby(["samples", "width"]).seed.nunique()
        assert (cells >= 5).all()
        assert len(cells) == runs.samples.nunique() * runs.width.nunique()

    def test_error_falls_with_samples_and_width(self):
        runs = self.runs
        assert np.allclose(runs.error + runs.accuracy, 1, atol=2e-6)
        mean = runs.groupby(["samples", "width"]).error.mean().unstack()
        assert (mean.iloc[-1] < mean.iloc[0]).all()
        assert (mean.iloc[:, -1] < mean.iloc[:, 0]).all()
