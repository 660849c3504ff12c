"""The error of the law itself: grows with distance, follows the direction, vanishes on request."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulate import grid_runs

import scaling_laws as sl
from scaling_laws.errors import DataError
from scaling_laws.inference.law_error import LawError, excess_rate

PAIR = ("params", "tokens")
SPANS = {"params": (1e6, 1e9), "tokens": (1e8, 1e11), "flops": (1e15, 1e20)}
RATES = {"flops": 0.01, "params": 0.03, "tokens": 0.02}


def at(params, tokens):
    error = LawError(RATES, SPANS)
    return error.at(PAIR, [np.atleast_1d(float(params)), np.atleast_1d(float(tokens))])[0]


@pytest.fixture(scope="module")
def runs():
    return grid_runs(6, 6, noise=0.005).assign(layers=lambda t: np.round(t.params**0.2))


@pytest.fixture(scope="module")
def fits(runs):
    return [sl.fit(runs, "chinchilla", draws=400, law_error=e) for e in (True, False)]


class TestLawError:
    def test_none_inside_the_data(self):
        assert at(1e8, 1e10) == 0.0

    def test_an_input_alone_has_its_own_rate(self):
        assert at(1e9 * np.e, 1e9) == pytest.approx(0.03)
        assert at(1e7, 1e11 * np.e) == pytest.approx(0.02)

    def test_both_together_go_by_compute(self):
        both = at(1e9 * np.e, 1e11 * np.e)
        assert both == pytest.approx(0.01 * np.log(6e20 * np.e**2 / 1e20))

    @settings(max_examples=60, deadline=None)
    @given(st.floats(5.0, 13.0), st.floats(7.0, 15.0), st.floats(0.0, 2.0))
    def test_it_never_shrinks_along_the_diagonal(self, n, d, step):
        assert at(10 ** (n + step), 10 ** (d + step)) >= at(10**n, 10**d) - 1e-12


@pytest.mark.parametrize("law", ["chinchilla", "coupled"])
@pytest.mark.parametrize("unit", [1e-3, 1e3])
def test_errors_of_a_linear_target_are_in_its_unit(law, unit):
    runs = grid_runs(4, 4, noise=0.02).assign(run=range(16))  # draws go by the run
    about = {"inputs": PAIR, "target": "score", "residual": "linear", "draws": 10}
    rates = [
        sl.fit(runs.assign(score=u * runs.loss), law, **about).predictive.law_error.rates
        for u in (1.0, unit)
    ]
    # backtests are solved to a sixth of a standard error, in a flat valley anywhere along it
    assert {n: r / unit for n, r in rates[1].items()} == pytest.approx(rates[0], rel=0.06)


class TestInputsThatMayBeZero:
    """A row's interval is its own, whatever other rows are asked for with it."""

    @pytest.mark.parametrize("least", [0.05, 0.0], ids=["measured above zero", "at zero too"])
    def test_a_row_does_not_depend_on_the_others(self, least):
        family = sl.get_law("annealing")
        rng = np.random.default_rng(0)
        total, area = np.geomspace(10, 200, 24), rng.uniform(0.05, 0.6, 24)
        area[0] = least
        inputs = dict(zip(family.inputs, (total, area), strict=True))
        loss = family.with_coef(family.example)(**inputs) * np.exp(rng.normal(0, 0.003, 24))
        annealed = sl.fit({**inputs, "loss": loss}, family, draws=50)
        total, area = [200.0, 150.0, 400.0], [0.0, 0.9, 1.2]
        names = annealed.inputs
        together = annealed.predict(dict(zip(names, (total, area), strict=True)))
        alone = [
            annealed.predict(dict(zip(names, ([s], [a]), strict=True)))
            for s, a in zip(total, area, strict=True)
        ]
        pd.testing.assert_frame_equal(together, pd.concat(alone, ignore_index=True))
        assert (together.extrapolation[1:] > 0).all()


class TestRate:
    def test_what_noise_explains_is_not_counted_twice(self):
        rng = np.random.default_rng(0)
        far = [np.full(50, 2.0)] * 6
        noise = [0.01 * rng.standard_normal(50) for _ in far]
        quiet, _ = excess_rate(noise, [np.full(50, 1e-4)] * 6, far, 0.01, 8.0)
        loud, _ = excess_rate([e + 0.1 for e in noise], [np.full(50, 1e-4)] * 6, far, 0.01, 8.0)
        assert quiet < 0.01 < loud

    def test_without_cuts_it_is_the_bundled_one(self):
        assert excess_rate([], [], [], 0.012, 8.0) == (0.012, 0)

    def test_one_table_says_three_times_at_most(self):
        far = [np.ones(5)] * 6
        assert excess_rate([9 * d for d in far], [0 * d for d in far], far, 0.01, 8.0)[0] == 0.03


class TestFit:
    def test_it_widens_what_lies_beyond_the_data_only(self, fits):
        inside, outside = {"params": 1e8, "tokens": 1e10}, {"params": 1e12, "tokens": 1e13}
        widths = [
            [float((p.loss_high - p.loss_low).iloc[0]) for p in (f.predict(**x) for f in fits)]
            for x in (inside, outside)
        ]
        assert widths[0][0] == pytest.approx(widths[0][1], rel=1e-9)
        assert widths[1][0] > widths[1][1]

    def test_the_point_prediction_does_not_move(self, fits):
        ahead = [f.predict(params=1e12, tokens=1e13).loss[0] for f in fits]
        assert ahead[0] == ahead[1]

    def test_parts_are_named(self, fits):
        parts = fits[0].uncertainty(params=1e12, tokens=1e13).iloc[0]
        assert parts.candidates == 0
        assert parts.total == pytest.approx(
            np.hypot(np.hypot(parts.coefficients, parts.law), parts.run)
        )
        assert fits[1].uncertainty(params=1e12, tokens=1e13).law[0] == 0

    def test_it_is_saved(self, fits, tmp_path):
        fits[0].save(tmp_path / "fit.json")
        back = sl.load(tmp_path / "fit.json")
        ask = {"params": 1e12, "tokens": 1e13}
        assert back.predict(**ask).equals(fits[0].predict(**ask))

    def test_too_few_cuts_say_so(self):
        fit = sl.fit(grid_runs(3, 2, noise=0.01), "product", draws=50)
        assert "law_error_from_prior" in {n.code for n in fit.notes}

    def test_a_switch_is_true_or_false(self):
        with pytest.raises(DataError, match="law_error must be True or False"):
            sl.Fitter(law_error=1)


class TestBacktest:
    def test_a_fit_brings_its_law_and_options(self, runs):
        fit = sl.fit(runs, "coupled", focus=1.0, draws=0)
        asked = sl.backtest(runs, "coupled", focus=1.0)
        assert sl.backtest(runs, fit).table.equals(asked.table)

    def test_anything_that_predicts(self, runs):
        class Last:
            def __init__(self, train):
                self.value = train.loss.min()

            def predict(self, table):
                assert "loss" not in table
                return np.full(len(table), self.value)

        back = sl.backtest(runs, Last, inputs=PAIR)
        assert back.law == "Last"
        assert (back.table.bias > 0).all()  # the last value is too high

    def test_a_selection_in_one_line(self, runs):
        options = {"focuses": (1.0,), "draws": 0}
        back = sl.backtest(
            runs,
            lambda train: sl.select(train, ["chinchilla"], **options),
            inputs=PAIR,
            along="tokens",
        )
        assert back.table.error.mean() < 0.02

    def test_any_column_can_be_cut(self, runs):
        back = sl.backtest(runs, "chinchilla", along="layers")
        assert set(back.rows.layers) <= set(runs.layers)

    def test_distances_are_told_for_every_input(self, runs):
        rows = sl.backtest(runs, "chinchilla", along="tokens").rows
        assert (rows.distance_tokens > 0).all()
        assert (rows.distance_params == 0).all()

    def test_a_callable_needs_inputs(self, runs):
        with pytest.raises(DataError, match="needs inputs="):
            sl.backtest(runs, lambda train: train)

    def test_wrong_shapes_are_refused(self, runs):
        class Wrong:
            def predict(self, table):
                return [1.0]

        with pytest.raises(DataError, match="one number a row"):
            sl.backtest(runs, lambda train: Wrong(), inputs=PAIR)

    def test_tables_of_predictions_are_read_by_the_target(self, runs):
        class Table:
            def predict(self, table):
                return pd.DataFrame({"loss": np.full(len(table), 2.0)})

        assert (sl.backtest(runs, lambda train: Table(), inputs=PAIR).rows.predicted == 2.0).all()
