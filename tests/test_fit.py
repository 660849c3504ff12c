"""Fitting: the right optimum, whatever the units, the order and the trouble in the table."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pandas as pd
import pytest
from formulas_joint import JOINT
from hypothesis import given, settings
from hypothesis import strategies as st
from simulate import TRUTH, grid_runs, runs_of

import scaling_laws as sl

POINT = sl.Fitter(draws=0)
LITERATURE = sl.Fitter(draws=0, robust=sl.Huber(1e-3))


@pytest.fixture(scope="module")
def epoch(shared_data):
    table = pd.read_csv(shared_data / "chinchilla_epoch.csv")
    return table[~table.excluded_by_besiroglu]


class TestChinchillaReplication:
    """Besiroglu et al. 2024, arXiv:2404.10102, table 1 and their released notebook."""

    def test_optimum(self, epoch):
        fit = LITERATURE.fit(epoch, "chinchilla")
        assert fit.objective <= 0.0010182741
        assert fit.coef["E"] == pytest.approx(1.8172, abs=5e-4)
        assert fit.coef["alpha"] == pytest.approx(0.3473, abs=1e-3)
        assert fit.coef["beta"] == pytest.approx(0.3672, abs=2e-3)
        assert fit.starts_agreeing == fit.starts

    def test_not_the_published_hoffmann_values(self, epoch):
        fit = sl.fit(epoch, "chinchilla", robust=sl.Huber(1e-3), draws=500)
        interval = fit.interval(0.95)
        for name in ("E", "beta"):
            assert sl.published.HOFFMANN_2022.coef[name] < interval.low[name]

    def test_standard_errors_near_the_published(self, epoch):
        fit = sl.fit(epoch, "chinchilla", robust=sl.Huber(1e-3), draws=1000)
        spread = pd.DataFrame(fit.draws, columns=fit.law.family.coefficient_names).std()
        for name, published in {"E": 0.026, "alpha": 0.015, "beta": 0.021}.items():
            assert fit.stderr[name] == pytest.approx(published, rel=0.25)
            assert spread[name] == pytest.approx(published, rel=0.25)

    def test_twenty_row_orders(self, epoch):
        reference = LITERATURE.fit(epoch, "chinchilla").coef
        for seed in range(20):
            coef = LITERATURE.fit(epoch.sample(frac=1, random_state=seed), "chinchilla").coef
            assert coef == pytest.approx(reference, rel=1e-6)

    @pytest.mark.parametrize(
        ("n", "d"), [(1e6, 1e9), (1e3, 1e6), (1.0, 1e12), (1e9, 1.0), (3.7, 0.001)]
    )
    def test_units(self, epoch, n, d):
        reference = LITERATURE.fit(epoch, "chinchilla")
        scaled = epoch.assign(params=epoch.params / n, tokens=epoch.tokens / d)
        fit = LITERATURE.fit(scaled, "chinchilla")
        expected = dict(reference.coef)
        expected["A"] /= n ** expected["alpha"]
        expected["B"] /= d ** expected["beta"]
        assert fit.coef == pytest.approx(expected, rel=1e-6)
        ours = fit.predict(params=7e10 / n, tokens=1.4e12 / d).loss
        theirs = reference.predict(params=7e10, tokens=1.4e12).loss
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)

    def test_all_rows_give_another_answer(self, shared_data):
        """The five outliers matter: with them beta is 0.45 (published as well)."""
        fit = LITERATURE.fit(pd.read_csv(shared_data / "chinchilla_epoch.csv"), "chinchilla")
        assert fit.coef["E"] == pytest.approx(1.8913, abs=1e-3)
        assert fit.coef["beta"] == pytest.approx(0.453, abs=1e-3)


@pytest.mark.parametrize("name", [n for n in sl.list_laws() if n not in JOINT])
def test_noise_free_data_give_their_coefficients_back(name):
    """From cold: the curve to 1e-8, and the coefficients to 1e-6 where the data determine them."""
    table = runs_of(name, noise=0.0)
    fit = POINT.fit(table, name)
    predicted = fit.law(**{q: table[q] for q in fit.law.inputs})
    np.testing.assert_allclose(predicted, table.loss, rtol=1e-8)
    example = dict(sl.get_law(name).example)
    if condition(fit.law.family, table) < 1e8:
        assert fit.coef == pytest.approx(example, rel=1e-6)


def condition(family, table):
    """Condition number of the Jacobian at the example, its columns scaled to one length."""
    inputs = [table[q].to_numpy() for q in family.inputs]
    value, columns = family.evaluate_with_jacobian(inputs, list(family.example.values()))
    matrix = np.stack([np.broadcast_to(c, value.shape) / value for c in columns], axis=1)
    return np.linalg.cond(matrix / np.linalg.norm(matrix, axis=0))


@pytest.mark.parametrize("name", ["chinchilla", "coupled", "power_with_floor", "product"])
def test_objective_is_a_minimum_that_scipy_cannot_improve(name):
    from scipy.optimize import minimize

    table = runs_of(name, noise=0.02)
    fit = POINT.fit(table, name)
    inputs = [table[q].to_numpy() for q in fit.law.inputs]
    logs = np.log(table.loss.to_numpy())
    scale = np.array(list(fit.coef.values()))

    def objective(unit):
        with np.errstate(all="ignore"):
            value = fit.law.family.evaluate(inputs, list(unit * scale))
            r = np.log(value) - logs
        if not np.isfinite(r).all():
            return np.inf
        d = fit.delta
        return float(np.sum(np.where(abs(r) <= d, r**2 / 2, d * (abs(r) - d / 2))))

    assert objective(np.ones(len(scale))) == pytest.approx(fit.objective, rel=1e-10)
    found = minimize(objective, np.ones(len(scale)), method="Nelder-Mead")
    assert found.fun >= fit.objective * (1 - 1e-9)


class TestWeights:
    def test_ones_are_no_weights(self):
        table = grid_runs()
        plain, ones = sl.fit(table, "chinchilla"), sl.fit(table, "chinchilla", weights=np.ones(64))
        assert plain.coef == ones.coef
        np.testing.assert_array_equal(plain.draws, ones.draws)

    def test_only_ratios_matter_to_intervals(self):
        table = grid_runs().assign(w=np.linspace(1, 3, 64))
        once = sl.fit(table, "chinchilla", weights="w")
        tenfold = sl.fit(table, "chinchilla", weights=10 * table.w.to_numpy())
        assert once.coef == pytest.approx(tenfold.coef, rel=1e-8)
        assert once.noise == pytest.approx(tenfold.noise, rel=1e-8)
        one, ten = (f.predict(params=1e11, tokens=1e12) for f in (once, tenfold))
        np.testing.assert_allclose(one.loss_low, ten.loss_low, rtol=1e-6)
        np.testing.assert_allclose(one.loss_high, ten.loss_high, rtol=1e-6)

    def test_integers_equal_repeated_rows(self):
        table = grid_runs(noise=0.01)
        counts = 1 + np.arange(64) % 3
        repeated = table.loc[table.index.repeat(counts)]
        weighted = POINT.fit(table, "chinchilla", weights=counts)
        assert weighted.coef == pytest.approx(POINT.fit(repeated, "chinchilla").coef, rel=1e-7)

    def test_zero_weight_leaves_a_row_out(self):
        table = grid_runs(noise=0.01)
        weights = np.ones(64)
        weights[[3, 40]] = 0.0
        without = POINT.fit(table.drop(index=[3, 40]), "chinchilla")
        assert POINT.fit(table, "chinchilla", weights=weights).coef == without.coef

    def test_focus_counts_large_runs_more(self):
        table = grid_runs(noise=0.0)
        table["loss"] *= 1 + 0.02 * (table.params * table.tokens < 1e18)
        far = {"params": 1e11, "tokens": 2e12}
        truth = TRUTH(**far)
        plain = sl.Fitter(draws=0, robust=None).fit(table, "chinchilla").law(**far)
        focused = sl.Fitter(draws=0, robust=None, focus=1.0).fit(table, "chinchilla").law(**far)
        assert abs(focused - truth) < abs(plain - truth)


class TestConstraints:
    def test_fixed_ties_bounds_priors_start(self):
        table = grid_runs()
        assert POINT.fit(table, "chinchilla").trusted
        fixed = sl.Fitter(draws=50, fixed={"E": 1.7}).fit(table, "chinchilla")
        assert fixed.coef["E"] == 1.7
        assert fixed.stderr["E"] == 0
        assert (fixed.draws[:, 0] == 1.7).all()
        tied = sl.Fitter(draws=50, ties={"beta": ("alpha", 0.9)}).fit(table, "chinchilla")
        np.testing.assert_allclose(tied.draws[:, 4], 0.9 * tied.draws[:, 2])
        bounded = sl.Fitter(draws=50, bounds={"alpha": (0.4, 0.5)}).fit(table, "chinchilla")
        assert bounded.coef["alpha"] == 0.4
        assert bounded.at_bound == ("alpha",)
        started = sl.Fitter(draws=0, start={"alpha": 0.3, "beta": 0.3}).fit(table, "chinchilla")
        assert started.coef == pytest.approx(POINT.fit(table, "chinchilla").coef, rel=1e-6)

    def test_raw_unit_constraints_on_amplitudes(self):
        table = grid_runs()
        free = POINT.fit(table, "chinchilla")
        fixed = sl.Fitter(draws=0, fixed={"A": free.coef["A"]}).fit(table, "chinchilla")
        assert fixed.coef == pytest.approx(free.coef, rel=1e-3)
        tied = sl.Fitter(draws=0, ties={"B": ("A", 2.0)}).fit(table, "chinchilla")
        assert tied.coef["B"] == pytest.approx(2 * tied.coef["A"], rel=1e-12)

    def test_prior_pulls_by_its_precision(self):
        table = grid_runs()
        free = POINT.fit(table, "chinchilla").coef["alpha"]
        tight = sl.Fitter(draws=0, priors={"alpha": (0.3, 1e-5)}).fit(table, "chinchilla")
        loose = sl.Fitter(draws=0, priors={"alpha": (0.3, 10.0)}).fit(table, "chinchilla")
        assert tight.coef["alpha"] == pytest.approx(0.3, abs=1e-3)
        assert loose.coef["alpha"] == pytest.approx(free, abs=1e-4)

    def test_coupled_and_kaplan_accept_constraints_in_their_own_coefficients(self):
        table = grid_runs()
        additive = POINT.fit(table, "chinchilla")
        coupled = sl.Fitter(draws=0, fixed={"k": 1.0}).fit(table, "coupled")
        assert coupled.objective == pytest.approx(additive.objective, rel=1e-6)
        kaplan = sl.Fitter(draws=0, ties={"alpha_D": "alpha_N"}).fit(table, "kaplan")
        assert kaplan.coef["alpha_D"] == kaplan.coef["alpha_N"]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"fixed": {"gamma": 1.0}}, "'gamma', which is not a coefficient"),
            ({"ties": {"alpha": "alpha"}}, "Bind it to another coefficient"),
            ({"bounds": {"alpha": (0.5, 0.4)}}, "must increase"),
            ({"bounds": {"alpha": (5.0, 6.0)}}, "lie outside"),
            ({"priors": {"alpha": (0.3, 0.0)}}, "standard deviation > 0"),
            ({"robust": 0.1}, "robust must be a Huber"),
            ({"residual": "sqrt"}, "residual must be"),
            ({"residual": "logit"}, "declared bounded"),
            ({"focus": -1.0}, "focus must be"),
            ({"draws": -5}, "draws must be an integer >= 0"),
            ({"workers": 0}, "workers must be an integer >= 1"),
            ({"seed": "a"}, "seed must be an integer"),
            ({"drawz": 5}, "Did you mean 'draws'"),
        ],
    )
    def test_impossible_options(self, options, message):
        with pytest.raises(sl.DataError, match=message):
            sl.fit(grid_runs(), "chinchilla", **options)


class TestBadInput:
    def test_unknown_law_suggests(self):
        with pytest.raises(sl.LawError, match="Did you mean 'chinchilla'"):
            sl.fit(grid_runs(), "chinchila")

    def test_missing_column_lists_those_found(self):
        with pytest.raises(sl.DataError, match=r"'tokens' is missing. Found: params, loss"):
            sl.fit(grid_runs().drop(columns="tokens"), "chinchilla")

    def test_missing_tokens_with_flops_says_how(self):
        table = grid_runs().assign(flops=1e20).drop(columns="tokens")
        with pytest.raises(sl.DataError, match=r"tokens = flops / \(6 \* params\)"):
            sl.fit(table, "chinchilla")

    def test_other_target_is_suggested(self):
        with pytest.raises(sl.DataError, match="Perhaps target='accuracy'"):
            sl.fit(grid_runs().rename(columns={"loss": "accuracy"}), "chinchilla")

    @pytest.mark.parametrize("value", [0.0, -1.0, np.inf, -np.inf])
    def test_impossible_value_names_the_row(self, value):
        table = grid_runs()
        table.index = [f"run-{i}" for i in range(64)]
        table.loc["run-17", "tokens"] = value
        with pytest.raises(sl.DataError, match=r"'tokens' must be positive and finite: row run-17"):
            sl.fit(table, "chinchilla")

    def test_loss_that_is_not_positive(self):
        table = grid_runs()
        table.loc[9, "loss"] = 0.0
        with pytest.raises(sl.DataError, match=r"'loss' must be positive and finite: row 9"):
            sl.fit(table, "chinchilla")

    def test_strings(self):
        with pytest.raises(sl.DataError, match="row 0 has '70B'"):
            sl.fit(grid_runs().assign(tokens="70B"), "chinchilla")

    def test_strings_of_numbers_are_numbers(self):
        table = grid_runs()
        assert (
            POINT.fit(table.astype(str), "chinchilla").coef == POINT.fit(table, "chinchilla").coef
        )

    def test_missing_value_drops_row_with_weight_and_run(self):
        table = grid_runs().assign(run=[f"r{i // 2}" for i in range(64)], w=1.0)
        table.loc[5, "loss"] = np.nan
        table.loc[6, "w"] = np.nan
        fit = sl.fit(table, "chinchilla", weights="w", draws=20)
        (note,) = [n for n in fit.notes if n.code == "rows_dropped"]
        assert note.details["count"] == 2
        assert len(fit.runs) == 62
        clean = sl.fit(table.drop(index=[5, 6]), "chinchilla", weights="w", draws=20)
        np.testing.assert_array_equal(fit.draws, clean.draws)

    def test_unfinished_runs_stay_out_and_are_counted(self):
        table = grid_runs().assign(status=["ok"] * 60 + ["killed"] * 3 + ["nan"])
        table.loc[60:, "loss"] = np.nan
        fit = POINT.fit(table, "chinchilla")
        (note,) = [n for n in fit.notes if n.code == "unfinished_runs"]
        assert note.details == {"killed": 3, "nan": 1}
        assert len(fit.runs) == 60

    def test_too_few_rows(self):
        with pytest.raises(sl.DataError, match="5 runs cannot determine 5 coefficients"):
            sl.fit(grid_runs(5, 5).iloc[::6], "chinchilla")

    def test_one_value_of_an_input(self):
        with pytest.raises(sl.DataError, match="'tokens' has a single value"):
            sl.fit(grid_runs().query("tokens < 3e8"), "chinchilla")

    def test_proportional_inputs_are_collinear(self):
        table = grid_runs(12, 3, noise=0.01)
        table["tokens"] = 20 * table.params
        fit = sl.fit(table, "chinchilla", draws=50)
        assert "collinear" in {n.code for n in fit.notes}
        assert not fit.trusted

    def test_law_that_returns_nan_is_blamed(self):
        family = sl.LawFamily(
            "broken",
            _nan_law,
            ("params",),
            (sl.Coefficient("a", "plateau", linear="target"),),
        )
        with pytest.raises(sl.LawError, match="law 'broken' returned NaN"):
            sl.fit(grid_runs(), family)

    @pytest.mark.parametrize("table", ["runs.csv", 3, [], {"params": 1.0}])
    def test_not_a_table(self, table):
        with pytest.raises(sl.DataError):
            sl.fit(table, "chinchilla")

    def test_arguments_swapped(self):
        with pytest.raises(sl.LawError, match="runs first, then the law"):
            sl.fit("chinchilla", grid_runs())

    def test_duplicates_are_noted(self):
        table = pd.concat([grid_runs(), grid_runs().head(3)])
        (note,) = [n for n in POINT.fit(table, "chinchilla").notes if n.code == "duplicate_rows"]
        assert note.details["count"] == 3

    def test_integer_overflow_is_recognised(self):
        table = grid_runs().astype({"params": "int64", "tokens": "int64"})
        with np.errstate(over="ignore"):
            table["flops"] = 6 * table.params * table.tokens
        assert (table.flops < 0).any()
        with pytest.raises(sl.DataError, match="64-bit integer overflow"):
            sl.fit(table, "power")

    def test_integers_themselves_are_fine(self):
        table = grid_runs().round({"params": 0, "tokens": 0})
        whole = table.astype({"params": "int64", "tokens": "int64"})
        assert POINT.fit(whole, "chinchilla").coef == POINT.fit(table, "chinchilla").coef

    @pytest.mark.parametrize("level", [0.0, 1.0, 95, -0.1, "high", np.nan])
    def test_level(self, level):
        fit = sl.fit(grid_runs(), "chinchilla", draws=20)
        with pytest.raises(sl.DataError, match="level must be"):
            fit.predict(params=1e9, tokens=1e9, level=level)


def _nan_law(x, a):
    return a * np.log(-x)


class TestBounds:
    def test_coefficient_at_bound_is_flagged_and_the_rest_stand(self):
        table = grid_runs(noise=0.002)
        table["loss"] = (100 * table.params**-0.1 + 50 * table.tokens**-0.1 - 0.3) * np.exp(
            0.002 * np.random.default_rng(1).standard_normal(64)
        )
        fit = sl.fit(table, "chinchilla", draws=200)
        assert fit.at_bound == ("E",)
        assert np.isnan(fit.stderr["E"])
        assert all(np.isfinite(fit.stderr[n]) for n in ("A", "alpha", "B", "beta"))
        assert fit.interval().low["E"] == 0.0
        assert {n.code for n in fit.notes} == {"coefficient_at_bound", "floor_not_identified"}
        assert np.isfinite(fit.predict(params=1e11, tokens=1e12)).all(axis=None)

    def test_exact_data_have_finite_tiny_intervals(self):
        fit = sl.fit(grid_runs(noise=0.0), "chinchilla", draws=100)
        assert fit.noise < 1e-12
        assert all(0 <= s < 1e-8 for s in fit.stderr.values())
        ahead = fit.predict(params=1e12, tokens=1e13)
        assert float((ahead.loss_high - ahead.loss_low).iloc[0]) < 1e-9

    def test_optimum_of_exactly_zero_has_a_valid_covariance(self):
        """scipy#21995: a coefficient whose best value is 0."""
        a = np.tile([-1.0, 0.0, 1.0], 10)
        b = np.repeat(np.linspace(0, 3, 10), 3)
        noise = 0.01 * np.tile([1.0, -2.0, 1.0], 10)  # orthogonal to a and b
        table = pd.DataFrame({"a": a, "b": b, "loss": np.exp(1 - 0.3 * b + noise)})
        fit = sl.fit(table, "log_linear", inputs=("a", "b"), robust=None, draws=100)
        assert abs(fit.coef["c_a"]) < 1e-9
        assert 1e-4 < fit.stderr["c_a"] < 1e-2
        assert fit.stderr["c_b"] > 0


class TestTargets:
    def test_higher_is_better_mirrors_the_law(self):
        samples = np.geomspace(50, 5e4, 25)
        noise = np.exp(0.01 * np.random.default_rng(0).standard_normal(25))
        accuracy = 0.95 - 2.0 * samples**-0.4 * noise
        fit = sl.fit(
            pd.DataFrame({"samples": samples, "accuracy": accuracy}),
            "power_with_floor",
            target="accuracy",
            inputs=("samples",),
            draws=200,
        )
        assert fit.law.family.increasing
        assert fit.coef["E"] == pytest.approx(0.95, abs=0.01)
        assert fit.coef["alpha"] == pytest.approx(0.4, abs=0.05)
        ahead = fit.predict(samples=[1e5, 1e9])
        assert (ahead.accuracy_high <= 1.0).all()
        assert fit.predictive.residual == "logit"

    def test_values_on_the_bound_are_moved_by_a_stated_rule(self):
        table = pd.DataFrame({"samples": np.geomspace(10, 1e4, 12)})
        table["error"] = np.maximum(2 * table.samples**-0.5 - 0.03, 0.0)
        fit = POINT.fit(table, "power_with_floor", target="error", inputs=("samples",))
        (note,) = [n for n in fit.notes if n.code == "values_at_bound"]
        assert note.details["count"] == int((table.error == 0).sum())

    def test_negative_targets_fit_on_the_linear_scale(self):
        table = grid_runs(noise=0.0)
        table["loss"] -= 6.0
        fit = sl.Fitter(draws=0, residual="linear").fit(table, "chinchilla")
        assert fit.coef["E"] == pytest.approx(TRUTH.coef["E"] - 6.0, abs=1e-6)

    def test_flops_are_derived_and_said(self):
        fit = POINT.fit(grid_runs(), "power")
        assert "flops_derived" in {n.code for n in fit.notes}

    def test_any_inputs(self):
        rng = np.random.default_rng(0)
        table = pd.DataFrame({n: rng.uniform(-1, 3, 40) for n in "abc"})
        table["loss"] = np.exp(0.5 - 0.2 * table.a - 0.1 * table.b + 0.05 * table.c)
        fit = POINT.fit(table, "log_linear", inputs=("a", "b", "c"))
        assert fit.coef == pytest.approx(
            {"c0": 0.5, "c_a": -0.2, "c_b": -0.1, "c_c": 0.05}, abs=1e-9
        )


@pytest.fixture(scope="module")
def fitted():
    table = grid_runs().assign(run=[f"r{i}" for i in range(64)])
    return sl.fit(table, "chinchilla", draws=200, bounds={"E": (0.5, 3.0)})


class TestResult:
    def test_save_and_load_again_and_again(self, fitted, tmp_path):
        first, second = tmp_path / "a.json", tmp_path / "b.json"
        fitted.save(first)
        loaded = sl.load(first)
        loaded.save(second)
        assert first.read_bytes() == second.read_bytes()
        far = {"params": [1e9, 1e12], "tokens": [1e10, 1e13]}
        pd.testing.assert_frame_equal(sl.load(second).predict(**far), fitted.predict(**far))
        assert loaded.fitter == fitted.fitter
        assert repr(loaded) == repr(fitted)
        assert loaded.r_squared == fitted.r_squared
        pd.testing.assert_frame_equal(loaded.residual_table(), fitted.residual_table())

    def test_rows_can_be_left_out(self, fitted, tmp_path):
        fitted.save(tmp_path / "slim.json", rows=False)
        loaded = sl.load(tmp_path / "slim.json")
        assert loaded.runs is None
        assert loaded.digest == fitted.digest
        with pytest.raises(sl.DataError, match="needs the rows"):
            loaded.residual_table()

    @pytest.mark.parametrize("copied", [copy.deepcopy, lambda f: pickle.loads(pickle.dumps(f))])
    def test_copies(self, fitted, copied):
        twin = copied(fitted)
        assert twin.coef == fitted.coef
        np.testing.assert_array_equal(twin.draws, fitted.draws)

    def test_newer_format_is_refused_with_both_versions(self, fitted, tmp_path):
        data = fitted.to_dict() | {"format": 99, "version": "9.9"}
        path = tmp_path / "new.json"
        path.write_text(json.dumps(data))
        with pytest.raises(sl.DataError, match=r"format 99.*9\.9.*up to format 2"):
            sl.load(path)

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"kind": "Fit", "format": 1}'])
    def test_other_files_are_refused(self, tmp_path, text):
        path = tmp_path / "x.json"
        path.write_text(text)
        with pytest.raises(sl.DataError):
            sl.load(path)
        with pytest.raises(sl.DataError, match="no file"):
            sl.load(tmp_path / "absent.json")

    def test_file_holds_no_code(self, fitted, tmp_path):
        fitted.save(tmp_path / "fit.json")
        assert "lambda" not in (tmp_path / "fit.json").read_text()

    def test_residuals_and_r_squared_come_from_predictions_made_anew(self, fitted):
        table = fitted.residual_table()
        again = fitted.law(params=table.params, tokens=table.tokens)
        np.testing.assert_allclose(table.residual, np.log(again / table.loss), atol=1e-12)
        expected = (
            1 - ((table.loss - again) ** 2).sum() / ((table.loss - table.loss.mean()) ** 2).sum()
        )
        assert fitted.r_squared == pytest.approx(expected)

    def test_mean_is_never_wider_than_run(self, fitted):
        far = {"params": np.geomspace(1e7, 1e12, 9), "tokens": np.geomspace(1e9, 1e13, 9)}
        run, mean = fitted.predict(**far), fitted.predict(**far, kind="mean")
        assert (run.loss_high - run.loss_low > mean.loss_high - mean.loss_low).all()
        assert (run.loss == mean.loss).all()

    def test_extrapolation_is_in_decades(self, fitted):
        ahead = fitted.predict(params=[1e9, 1e12], tokens=[1e10, 1e10])
        assert ahead.extrapolation.tolist() == pytest.approx([0.0, 2.0])

    def test_predict_refuses_what_it_does_not_know(self, fitted):
        with pytest.raises(sl.DataError, match="missing"):
            fitted.predict(params=1e9)
        with pytest.raises(sl.DataError, match="unknown"):
            fitted.predict(params=1e9, tokens=1e9, width=3)
        with pytest.raises(sl.DataError, match="kind must be"):
            fitted.predict(params=1e9, tokens=1e9, kind="both")
        with pytest.raises(sl.DataError, match="parts must be"):
            fitted.predict(params=1e9, tokens=1e9, parts=("noise",))
        with pytest.raises(sl.DataError, match="the table lacks"):
            fitted.predict(pd.DataFrame({"params": [1e9]}))

    def test_predict_from_a_table_keeps_its_index(self, fitted):
        table = pd.DataFrame({"params": [1e9], "tokens": [1e10], "note": ["x"]}, index=["big"])
        assert fitted.predict(table).index.tolist() == ["big"]

    def test_no_draws_no_interval(self):
        fit = POINT.fit(grid_runs(), "chinchilla")
        assert "no_draws" in {n.code for n in fit.notes}
        ahead = fit.predict(params=1e9, tokens=1e10)
        assert np.isnan(ahead.loss_low).all()
        assert np.isnan(ahead.loss_high).all()


@settings(max_examples=15)
@given(st.floats(1e-9, 1e9), st.floats(1e-9, 1e9), st.permutations(range(64)), st.integers(0, 3))
def test_unit_and_order_leave_predictions_alone(n, d, order, seed):
    table = grid_runs(noise=0.01, seed=seed)
    reference = POINT.fit(table, "chinchilla").law(params=1e11, tokens=1e12)
    changed = table.iloc[order].assign(params=lambda t: t.params * n, tokens=lambda t: t.tokens * d)
    again = POINT.fit(changed, "chinchilla").law(params=1e11 * n, tokens=1e12 * d)
    assert again == pytest.approx(reference, rel=1e-8)


@settings(max_examples=15)
@given(
    st.floats(0.5, 3.0),
    st.floats(0.1, 0.8),
    st.floats(0.1, 0.8),
    st.floats(0.2, 5),
    st.floats(0.2, 5),
)
def test_round_trip(E, alpha, beta, a, b):
    """Noise-free data of any additive law give its coefficients back."""
    coef = {"E": E, "A": a * 1e8**alpha, "alpha": alpha, "B": b * 1e10**beta, "beta": beta}
    law = sl.get_law("chinchilla").with_coef(coef)
    fit = POINT.fit(grid_runs(6, 6, noise=0.0, law=law), "chinchilla")
    assert fit.coef == pytest.approx(coef, rel=1e-6)


class TestLackOfFit:
    """Replicates tell noise from a law that misses structure."""

    @staticmethod
    def replicated(seed, law=TRUTH):
        runs = [grid_runs(5, 5, noise=0.01, seed=1000 * seed + k, law=law) for k in range(3)]
        return pd.concat(runs, ignore_index=True)

    def test_silent_where_the_law_is_right(self):
        alarms = [
            any(n.code == "lack_of_fit" for n in POINT.fit(self.replicated(s), "chinchilla").notes)
            for s in range(40)
        ]
        assert sum(alarms) <= 1  # 0.1 % each

    def test_speaks_where_the_law_is_wrong(self):
        fit = POINT.fit(self.replicated(0), "product")
        (note,) = [n for n in fit.notes if n.code == "lack_of_fit"]
        assert note.details["replicate_noise"] == pytest.approx(0.01, rel=0.25)
        assert not fit.trusted

    def test_says_nothing_without_replicates(self):
        codes = {n.code for n in POINT.fit(grid_runs(noise=0.01), "product").notes}
        assert "lack_of_fit" not in codes
