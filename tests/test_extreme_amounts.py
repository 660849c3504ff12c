"""Numbers at the ends of what floats hold, and things that only look like numbers: a typed error
or an answer. Warnings are errors in these tests, so that an overflow fails them."""

from __future__ import annotations

import decimal
import fractions
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from simulate import grid_runs

import scaling_laws as sl
from scaling_laws.data.converting import as_text
from scaling_laws.fitting.diagnostics import _in_standard_errors
from scaling_laws.inference.resample import _inefficiency
from scaling_laws.inference.trials import _check_written
from scaling_laws.planning.checks import data_notes
from scaling_laws.planning.costs.cost import Cost
from scaling_laws.planning.isoflop.line import _variance
from scaling_laws.quantities import real_number

LAW = sl.published.BESIROGLU_2024
HUGE, TINY, LONG = 1e308, 5e-324, 10**400
TWICE = grid_runs().assign(group=1.0, other=1.0).rename(columns={"other": "group"})


@pytest.fixture(scope="module")
def fit():
    return sl.fit(grid_runs(noise=0.01), "chinchilla", draws=20, law_error=False)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (3, 3.0),
        (np.float32(0.5), 0.5),
        (np.int64(-2), -2.0),
        (LONG, np.inf),
        (-LONG, -np.inf),
        (np.inf, np.inf),
    ],
)
def test_real_numbers(value, number):
    assert real_number(value) == number


@pytest.mark.parametrize("value", ["3", None, True, np.True_, 1j, [3.0], np.array(3.0), {}])
def test_what_is_no_real_number(value):
    assert np.isnan(real_number(value))


@pytest.mark.parametrize("amount", [HUGE, TINY, LONG])
@pytest.mark.parametrize(
    "ask",
    [
        lambda n: sl.Planner(LAW).for_budget(flops=n),
        lambda n: sl.Planner(LAW).for_params(n, flops=1e22),
        lambda n: sl.Planner(LAW).for_params(1e9, flops=n),
        lambda n: sl.Planner(LAW, step_tokens=4e6).for_params(n, flops=1e22),
        lambda n: sl.Planner(LAW).marginal(params=n, tokens=n),
        lambda n: sl.Planner(LAW).trade_off("params", [1e9], flops=n),
        lambda n: sl.Planner(LAW, limits={"params": n}).for_budget(flops=1e22),
        lambda n: sl.Planner(LAW, fixed={"params": n}).for_budget(flops=1e22),
        lambda n: sl.training_bytes(n),
        lambda n: sl.serving_bytes(n),
        lambda n: sl.fit_critical_batch([1e5, 1e6, n], [1e4, 2e3, 1e3]),
        lambda n: sl.LifetimeCost(served_tokens=-n),
        lambda n: Cost("mine", kappa=n),
    ],
)
def test_what_is_no_amount_is_refused(ask, amount):
    with pytest.raises(sl.PlanError):
        ask(amount)


@pytest.mark.parametrize("amount", [1e-99, 1e99])
def test_amounts_up_to_the_ends_have_an_answer(amount):
    table = sl.Planner(LAW).marginal(params=amount, tokens=amount)
    assert np.isfinite(table.gain).all()
    assert Cost("6ND").flops(params=HUGE, tokens=HUGE) == np.inf


def test_any_extra_compute_may_be_tolerated():
    wide = sl.Planner(LAW, tolerance=10**30).for_budget(flops=1e24)
    assert wide.near_optimal == sl.Planner(LAW, tolerance=1e30).for_budget(flops=1e24).near_optimal


def test_a_focus_may_be_a_fraction():
    fits = [sl.fit(grid_runs(noise=0.01), "power", inputs=["params"], draws=0, focus=focus)
            for focus in (fractions.Fraction(1, 2), 0.5)]  # fmt: skip
    assert fits[0].coef == fits[1].coef


@pytest.mark.parametrize("number", [np.float32(1e9), np.float64(1e9), 10**9])
def test_numbers_of_any_width_are_numbers(number):
    wide = sl.Planner(LAW, limits={"params": float(number)}).for_budget(flops=1e22)
    assert sl.Planner(LAW, limits={"params": number}).for_budget(flops=1e22).best == wide.best
    assert sl.min_step(number).settings == sl.min_step(float(number)).settings
    exact = np.float32(0.5)
    focused = sl.fit(grid_runs(), "chinchilla", draws=0, focus=exact)
    assert focused.fitter.focus == 0.5


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (lambda: sl.min_step(LONG), sl.DataError),
        (lambda: sl.Fitter(focus=LONG), sl.DataError),
        (lambda: sl.Planner(LAW, tolerance=LONG), sl.PlanError),
        (lambda: sl.LifetimeCost(served_tokens=LONG), sl.PlanError),
        (lambda: sl.fit(TWICE, "chinchilla", cluster="group"), sl.DataError),
        (lambda: sl.fit(TWICE, "chinchilla", weights="group"), sl.DataError),
        (lambda: sl.Hardware("x", 1e15, 8e10, utilization=LONG), sl.PlanError),
        (lambda: sl.fit(grid_runs(), "chinchilla", weights=[LONG] * 64), sl.DataError),
        (lambda: sl.fit(grid_runs().assign(w=LONG), "chinchilla", weights="w"), sl.DataError),
        (lambda: sl.fit(grid_runs().assign(loss=LONG), "chinchilla"), sl.DataError),
        (lambda: sl.fit_isoflop(grid_runs(), gap=LONG), sl.PlanError),
        (lambda: sl.fit_isoflop(grid_runs(), gap=fractions.Fraction(9, 1)), sl.PlanError),
        (lambda: sl.constant_exponent(grid_runs().assign(params=HUGE)), sl.PlanError),
        (lambda: sl.token_subsets(np.array(3.0), [1]), sl.MeasureError),
    ],
)
def test_options_beyond_all_floats_are_refused(ask, error):
    with pytest.raises(error):
        ask()


def test_questions_to_a_fit(fit):
    far = {"params": HUGE, "tokens": 1e12}
    for ask in (
        lambda: sl.ladder(fit, at=far),
        lambda: sl.ladder(fit, at={"params": 1e12, "tokens": 1e13}, within=LONG),
        lambda: sl.next_runs(fit, {n: [v] for n, v in far.items()}, at=far),
    ):
        with pytest.raises(sl.PlanError):
            ask()
    with pytest.raises(sl.DataError, match="single place"):
        sl.diagnose(fit, {"params": [[1e9]], "tokens": [1e8, 1e10]})
    for parts in (np.array(1e9), "law", 3):
        with pytest.raises(sl.DataError, match="parts must be"):
            fit.predict(params=1e9, tokens=1e9, parts=parts)
    wide = fit.predict(params=1e9, tokens=1e9, parts={"law", "run"})
    assert wide.equals(fit.predict(params=1e9, tokens=1e9, parts=("law", "run")))


def test_no_points_have_no_predictions():
    selection = sl.select(grid_runs(noise=0.01), ["chinchilla"], focuses=(0.0,), draws=10)
    assert len(selection.predict(params=[], tokens=[])) == 0


def test_a_profile_may_reach_a_bound_where_the_law_has_no_value():
    noisy = sl.fit(grid_runs(noise=0.5), "power", inputs=["params"], draws=0)
    first = noisy.profile("A", points=3).iloc[0]
    assert (first["A"], first["t"]) == (0.0, -np.inf)
    assert 0 < noisy.interval(method="profile").loc["A", "low"] < noisy.coef["A"]


def test_budgets_that_no_draw_finds_an_optimum_of_count_least():
    drawn = np.array([[1.0, np.nan, 3.0], [1.2, np.nan, np.nan], [1.1, np.nan, 3.4]])
    found = _variance(drawn)
    assert found[1] > 10 * found[2] > 10 * found[0] > 0
    assert np.isfinite(found).all()
    assert (_variance(np.full((3, 2), np.nan)) == 0).all()


def test_a_candidate_whose_coefficients_have_no_float_is_left_out():
    beyond = SimpleNamespace(family=sl.get_law("power"), raw=lambda _: np.array([[np.inf, 60.0]]))
    runs = SimpleNamespace(x=(np.geomspace(1e6, 1e9, 5),))
    with pytest.raises(sl.FitError, match="beyond floating point"):
        _check_written(beyond, runs, np.zeros((1, 2)))


def test_as_many_runs_as_coefficients_are_no_backtest():
    few = grid_runs(noise=0.01).iloc[[0, 9, 20, 35, 50]]
    with pytest.raises(sl.FitError, match="5 runs cannot judge the 5 coefficients"):
        sl.select(few, ["chinchilla"], focuses=(0.0,), draws=0, priors={"alpha": (0.3, 0.1)})


def test_intervals_of_draws_that_need_more_than_a_float_are_infinite(fit):
    flat = fit.predictive.coef.copy()
    flat[:, 2] = 0.006  # alpha: the params that suit the tokens have no float
    poor = replace(fit, predictive=replace(fit.predictive, coef=flat))
    plan = sl.Planner(poor).for_tokens(1e13)
    assert plan.high["flops"] == np.inf
    near = sl.Planner(fit, tolerance=1e99).for_budget(flops=1e99).near_optimal
    assert near["params"][0] < near["params"][1]


def test_answers_of_a_fit_whose_draws_leave_all_floats(fit):
    far = fit.predictive.coef.copy()
    far[0, 1:3] = 1e300, -80.0  # params multiply it beyond all floats
    poor = replace(fit, predictive=replace(fit.predictive, coef=far, noise=300.0))
    ahead = poor.predict(params=1e12, tokens=1e13)
    assert ahead.loss_high[0] > 1e100
    assert np.isnan(poor.uncertainty(params=[1e12], tokens=[1e13]).coefficients).all()
    zero = {"params": np.zeros(1), "tokens": np.full(1, 1e12)}
    (note,) = data_notes(zero, {"params": (1e7, 1e10), "tokens": (1e8, 1e13)})
    assert note.details["decades"]["params"] == 300.0


def test_an_interval_around_a_value_without_a_float_is_open():
    x = np.geomspace(1e7, 1e9, 12)
    noise = 0.1 * np.random.default_rng(0).standard_normal(12)
    table = {"params": x, "tokens": x[::-1] ** 1.1, "loss": 3 * np.exp(noise - 1e-10 * x)}
    fit = sl.fit(table, "log_linear", inputs=("params", "tokens"), draws=50)
    for tokens in (1e26, 1e54):
        ahead = fit.predict(params=1e7, tokens=tokens)
        assert ahead.loss[0] in (0.0, np.inf)
        assert ahead.loss_low[0] < 1e-299
        assert ahead.loss_high[0] == np.inf


def test_influence_where_the_law_overflows():
    """Quadratic in the logs: beyond the runs it may leave all floats."""
    found = sl.diagnose(sl.fit(grid_runs(noise=0.3), "translog", inputs=["params", "tokens"],
                               draws=0), {"params": 1e60, "tokens": 1e60})  # fmt: skip
    assert len(found.influence) == 64


def test_a_run_of_infinite_influence_hides_no_other():
    moves = np.array([[np.inf], [4.0], [0.5], [-0.5]])
    ratios = _in_standard_errors(moves, np.ones(1))[:, 0]
    assert ratios[0] == np.inf
    assert ratios[1] > 4.0  # by the two others: their sum of squares is a half, times 3 / 4
    assert ratios[1] == pytest.approx(4.0 / np.sqrt(0.5 * 3 / 4))


def test_no_run_is_influential_where_the_law_predicts_nothing():
    table = pd.DataFrame({"params": np.geomspace(1e6, 1e9, 24), "tokens": np.tile([1e9, 3e9], 12)})
    table["loss"] = 9.0 - 0.3 * np.log(table.params) - 0.01 * np.log(table.tokens)
    fit = sl.fit(table, "semi_log", draws=0)
    found = sl.diagnose(fit, {"params": 1e15, "tokens": 1e9})
    assert found.influence["prediction"].isna().all()
    assert "influential_run" not in {n.code for n in found.notes}


@pytest.mark.parametrize("turning", [1e-12, 1e-7, 1e-5])
def test_a_tiny_turning_point_is_the_median(turning):
    """Its variance over the mean's is pi / 2 for normal noise, and never negative."""
    problem = SimpleNamespace(delta=turning, weights=np.ones(20), free=(0, 1))
    residuals = np.random.default_rng(0).standard_normal(20)
    alike = SimpleNamespace(dof=18.0, total=float(np.sum(residuals**2)))
    assert 1.0 < _inefficiency(residuals, problem, alike) < 3.0


def test_every_note_and_option_can_be_saved(tmp_path):
    table = grid_runs(noise=0.01)
    start, share = {"alpha": decimal.Decimal("0.3")}, {"beta": fractions.Fraction(1, 3)}
    made = sl.fit(table, "chinchilla", draws=0, start=start, fixed=share)
    chosen = sl.select(table, ["chinchilla"], focuses=range(2), draws=0)
    chosen.save(tmp_path / "selection.json")
    assert sl.load(tmp_path / "selection.json").selector.focuses == (0, 1)
    details = {"condition": np.inf, "pairs": [(1.0, np.nan)], "numpy": [np.float32("nan")]}
    details |= {"rows": np.array([1, 2]), "one": np.int64(3), "yes": np.bool_(True)}
    note = sl.Note("odd", "info", "odd", details)
    replace(made, notes=(*made.notes, note)).save(tmp_path / "fit.json")
    again = sl.load(tmp_path / "fit.json")
    assert again.coef == made.coef
    assert again.fitter.fixed == {"beta": 1 / 3}
    plain = {"condition": None, "pairs": [[1.0, None]], "numpy": [None]}
    assert json.loads(json.dumps(note.to_dict()))["details"] == again.notes[-1].details
    assert again.notes[-1].details == plain | {"rows": [1, 2], "one": 3, "yes": True}


@pytest.mark.parametrize("place", [("ranges",), ("predictive", "law_error", "largest")])
def test_files_that_lost_a_range_are_damaged(place, tmp_path):
    path = tmp_path / "fit.json"
    sl.fit(grid_runs(noise=0.01), "chinchilla", draws=5).save(path)
    data = json.loads(path.read_text())
    inner = data
    for name in place:
        inner = inner[name]
    for changed in ({"params": None}, {"params": [2.0, 1.0]}, {"params": [None, 1.0]}):
        kept = dict(inner)
        inner.update(changed)
        if changed["params"] is None:
            del inner["params"]
        path.write_text(json.dumps(data))
        with pytest.raises(sl.DataError, match="damaged"):
            sl.load(path)
        inner.update(kept)


def test_files_that_lost_a_coefficient_or_a_rate_are_damaged(tmp_path):
    path = tmp_path / "selection.json"
    sl.select(grid_runs(noise=0.01), ["chinchilla"], focuses=(0.0,), draws=0).save(path)
    for part, name in (("values", None), ("law_error", "rates")):
        data = json.loads(path.read_text())
        if name is None:
            data["predictive"][part].pop()
        else:
            data["predictive"][part][name]["flops"] = -1.0
        other = tmp_path / f"{part}.json"
        other.write_text(json.dumps(data))
        with pytest.raises(sl.DataError, match="damaged"):
            sl.load(other)


def test_a_cell_that_holds_a_column_is_text():
    cells = pd.Series([pd.Series([1.0, 2.0]), np.nan, 3.0, pd.NA], dtype=object)
    assert as_text(cells).tolist()[1:] == [None, "3", None]


def test_files_whose_target_is_no_name_are_damaged(fit, tmp_path):
    path = tmp_path / "fit.json"
    path.write_text(json.dumps({**fit.to_dict(), "target": ["loss"]}))
    with pytest.raises(sl.DataError, match="damaged"):
        sl.load(path)
