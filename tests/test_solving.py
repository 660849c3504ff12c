"""The solving core: global, exact, and the same bits however the work is split."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulate import grid_runs, runs_of

import scaling_laws as sl
from scaling_laws.inference.resample import (
    cluster_weights,
    draw_coefficients,
    keyed_uniforms,
    sandwich_covariance,
)
from scaling_laws.solving.batch import second_order_terms, solve_batch
from scaling_laws.solving.objective import Huber, rho, robust_scale
from scaling_laws.solving.point import root_residuals
from scaling_laws.solving.setup import Settings, _unit_factor, bind_family
from scaling_laws.solving.starts import bounded_least_squares, find_starts


def solved(name, table=None, **options):
    table = runs_of(name, noise=0.01) if table is None else table
    setup = Settings(**options)
    family = bind_family(name, "loss", None)
    runs = setup.check(table, family, "loss")
    return setup.solve(runs, family), runs


@pytest.mark.parametrize("name", [n for n in sl.list_laws() if n != "broken_power_3"])  # slow: 2 do
def test_batch_at_unit_weights_is_the_point_fit(name, monkeypatch):
    """From a start a few per cent away, without lmfit, to 1e-8; by squares and robustly.

    Starts are sought once a law: those of the robust fits are the optimum by squares.
    """
    for robust in (None, Huber(), Huber(1e-3)):
        point = solved(name, robust=robust)[0].point
        near = point.free[None]
        monkeypatch.setattr("scaling_laws.solving.point.find_starts", lambda *_, near=near: near)
        away = point.free * (1 + 0.02 * np.cos(np.arange(len(point.free))))
        batch = solve_batch(point.problem, np.stack([away, point.free]), tolerance=1e-20)
        predicted = point.problem.predict(np.vstack([batch.free, point.free]))
        np.testing.assert_allclose(batch.objective, point.objective, rtol=1e-8, err_msg=str(robust))
        np.testing.assert_allclose(predicted[0], predicted[2], rtol=1e-8, err_msg=str(robust))
        np.testing.assert_allclose(batch.free[1], point.free, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("name", ["chinchilla", "coupled", "log_linear", "shifted_power"])
def test_same_bits_for_any_workers_and_chunks(name):
    solution, runs = solved(name)
    reference = draw_coefficients(solution.point, runs.clusters, 60, seed=3).free
    for workers, chunk in [(1, 1), (1, 7), (2, 13), (2, None), (3, 60)]:
        again = draw_coefficients(
            solution.point, runs.clusters, 60, seed=3, workers=workers, chunk=chunk
        )
        np.testing.assert_array_equal(again.free, reference)


def test_draws_with_priors_are_the_same_bits_alone_and_together():
    """Each draw has prior means of its own; solved alone, it knows of no other."""
    priors = {"alpha": (0.35, 0.002), "E": (1.7, 0.2)}
    solution, runs = solved("chinchilla", priors=priors)
    sd = Settings(priors=priors).prior_sd(solution.family)
    alone, together = (
        draw_coefficients(solution.point, runs.clusters, 40, 3, chunk=chunk, prior_sd=sd)
        for chunk in (1, None)
    )
    np.testing.assert_array_equal(alone.free, together.free)
    held = draw_coefficients(solution.point, runs.clusters, 40, 3)
    assert held.free[:, 2].std() < together.free[:, 2].std()  # alpha, by a prior that stays


def test_sums_of_many_priors_are_the_same_bits_alone_and_together():
    """Eleven: sums of eight and more depend on how they lie in memory."""
    names, rng = [f"input_{i}" for i in range(5)], np.random.default_rng(0)
    table = pd.DataFrame(rng.uniform(1.0, 9.0, (40, 5)), columns=names)
    family = sl.get_law("additive_power", names)
    priors = dict.fromkeys(family.coefficient_names, (0.4, 0.1))
    table["loss"] = family.evaluate([table[n].to_numpy() for n in names], [0.4] * 11)
    setup = Settings(priors=priors, robust=None)
    problem = setup.prepare(setup.check(table, family, "loss"), family).problem
    problem = replace(problem, prior_precision=np.full(11, 0.3))
    means = 0.4 + 0.1 * rng.standard_normal((60, 11))
    alone, together = (
        solve_batch(problem, np.full((60, 11), 0.4), prior_means=means, chunk=chunk)
        for chunk in (1, None)
    )
    np.testing.assert_array_equal(alone.objective, together.objective)
    np.testing.assert_array_equal(alone.free, together.free)


def test_fits_do_not_depend_on_workers_or_row_order():
    table = grid_runs(noise=0.01)
    one = sl.fit(table, "chinchilla", draws=100)
    two = sl.fit(table.sample(frac=1, random_state=1), "chinchilla", draws=100, workers=2)
    np.testing.assert_array_equal(one.draws, two.draws)
    far = {"params": 1e12, "tokens": 1e13}
    assert one.predict(**far).equals(two.predict(**far))


def test_draws_of_fits_that_share_runs_are_paired():
    table = grid_runs(noise=0.02).assign(run=[f"r{i}" for i in range(64)])
    other = table.assign(loss=table.loss * 1.01).iloc[:60]
    a, b = (sl.fit(t, "chinchilla", draws=200).draws[:, 0] for t in (table, other))
    c = sl.fit(table, "chinchilla", draws=200, seed=1).draws[:, 0]
    assert np.corrcoef(a, b)[0, 1] > 0.6
    assert abs(np.corrcoef(a, c)[0, 1]) < 0.3


def test_rows_of_one_run_share_their_weight():
    labels = np.array([5, 5, 9, 5, 2], dtype=np.uint64)
    weights = cluster_weights(labels, 0, 50, seed=0)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 0] == weights[:, 3]).all()
    assert not (weights[:, 0] == weights[:, 2]).any()


def test_keyed_uniforms_are_uniform_and_independent():
    labels = np.arange(500, dtype=np.uint64)
    u = keyed_uniforms(labels, 0, 400, seed=0)
    counts = np.histogram(u, bins=20, range=(0, 1))[0]
    chi2 = ((counts - u.size / 20) ** 2 / (u.size / 20)).sum()
    assert chi2 < 43.8  # 0.1 % point of chi-squared with 19 degrees of freedom
    assert abs(np.corrcoef(u[:-1].ravel(), u[1:].ravel())[0, 1]) < 0.01
    assert abs(np.corrcoef(u[:, :-1].ravel(), u[:, 1:].ravel())[0, 1]) < 0.01
    assert not np.allclose(u, keyed_uniforms(labels, 0, 400, seed=1))


def test_bootstrap_spread_matches_the_closed_form_of_least_squares():
    """A straight line in logs with homoscedastic noise: s^2 (X'X)^-1, and a negative control."""
    table = runs_of("power", noise=0.05, rows=200)
    fit = sl.fit(table, "power", robust=None, draws=2000)
    z = np.log(table.flops)
    design = np.stack([np.ones(200), -z], axis=1)
    sigma2 = float(np.sum(fit.residuals**2)) / 198
    exact = np.sqrt(np.diag(sigma2 * np.linalg.inv(design.T @ design)))
    spread = np.std(np.stack([np.log(fit.draws[:, 0]), fit.draws[:, 1]]), axis=1)
    np.testing.assert_allclose(spread, exact, rtol=0.15)
    stderr = np.array([fit.stderr["A"] / fit.coef["A"], fit.stderr["alpha"]])
    np.testing.assert_allclose(stderr, exact, rtol=0.15)
    twice = sl.fit(pd.concat([table] * 2), "power", robust=None, draws=2000, cluster=range(400))
    assert not np.allclose(np.std(twice.draws[:, 1]), exact[1], rtol=0.15)  # copies are not data


def test_draw_spread_grows_with_the_cluster():
    """Checkpoints of one run carry one run's noise: resampling rows would halve the interval."""
    rng = np.random.default_rng(0)
    base = grid_runs(8, 5, noise=0.0)
    base["run"] = base.params.astype(str)
    base["loss"] *= np.exp(
        base.run.map(dict(zip(base.run.unique(), 0.01 * rng.standard_normal(8), strict=True)))
    )
    by_run = sl.fit(base, "chinchilla", draws=300, law_error=False)
    by_row = sl.fit(base.drop(columns="run"), "chinchilla", draws=300, law_error=False)
    width = [
        float((p.loss_high - p.loss_low).iloc[0])
        for p in (f.predict(params=1e12, tokens=1e12, kind="mean") for f in (by_run, by_row))
    ]
    assert width[0] > 1.5 * width[1]


class TestObjective:
    @given(st.floats(-5, 5), st.floats(1e-3, 3))
    def test_rho_is_hubers(self, r, delta):
        expected = r * r / 2 if abs(r) <= delta else delta * (abs(r) - delta / 2)
        assert rho(np.array([r]), delta)[0] == pytest.approx(expected, abs=1e-12)

    def test_robust_scale_weights_are_repeats(self):
        r, w = np.array([0.1, -0.5, 0.3, 2.0]), np.array([2.0, 1.0, 3.0, 1.0])
        assert robust_scale(r, w) == robust_scale(np.repeat(r, w.astype(int)), np.ones(7))

    @pytest.mark.parametrize("delta", [0.0, -1.0, np.inf, "big", np.nan])
    def test_impossible_delta(self, delta):
        with pytest.raises(sl.DataError, match="delta must be positive"):
            Huber(delta)

    @pytest.mark.parametrize("name", ["chinchilla", "coupled", "kaplan_with_floor"])
    def test_root_residuals_square_to_the_objective(self, name):
        problem = solved(name, robust=Huber(0.005))[0].point.problem
        free = find_starts(problem)[:1]
        vector, matrix = root_residuals(problem, free)
        assert 0.5 * vector @ vector == pytest.approx(problem.objective(free)[0], rel=1e-12)
        for j in range(matrix.shape[1]):
            h = 1e-6 * max(abs(free[0, j]), 1e-3)
            up, down = free.copy(), free.copy()
            up[0, j] += h
            down[0, j] -= h
            slope = (root_residuals(problem, up)[0] - root_residuals(problem, down)[0]) / (2 * h)
            np.testing.assert_allclose(matrix[:, j], slope, rtol=1e-4, atol=1e-5)

    def test_hessian_matches_differences_of_the_gradient(self):
        point = solved("coupled", robust=None)[0].point
        problem, free = point.problem, point.free[None]
        r, jac = problem.residuals_with_jacobian(free)
        full = jac[0] @ jac[0].T + second_order_terms(problem, free, r)[0]

        def gradient(at):
            r, jac = problem.residuals_with_jacobian(at)
            return jac[0] @ r[0]

        for j in range(full.shape[0]):
            h = 1e-5 * max(abs(free[0, j]), 1e-2)
            up, down = free.copy(), free.copy()
            up[0, j] += h
            down[0, j] -= h
            np.testing.assert_allclose(
                full[:, j], (gradient(up) - gradient(down)) / (2 * h), rtol=1e-3, atol=1e-4
            )


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_bounded_least_squares_against_scipy(seed, count):
    """Never better than SciPy's exact answer, and equal to it when no bound binds."""
    from scipy.optimize import lsq_linear

    rng = np.random.default_rng(seed)
    design, target = rng.normal(size=(12, count)), rng.normal(size=12) + 1.0
    weights = rng.uniform(0.5, 2, 12)
    root = np.sqrt(weights)
    exact = lsq_linear(
        design * root[:, None], target * root, (np.zeros(count), np.full(count, np.inf))
    )
    ours = bounded_least_squares(
        design.T[None], target[None], weights, np.zeros(count), np.full(count, np.inf)
    )[0]
    assert (ours >= 0).all()
    cost = 0.5 * np.sum(weights * (design @ ours - target) ** 2)
    assert cost >= exact.cost - 1e-9
    if not exact.active_mask.any():
        np.testing.assert_allclose(ours, exact.x, atol=1e-6)


def test_every_start_of_the_chinchilla_law_agrees():
    point = solved("chinchilla", grid_runs(noise=0.01))[0].point
    assert point.starts_agreeing == point.starts >= 5


def test_a_bad_user_start_does_no_harm():
    table = grid_runs(noise=0.01)
    bad = {"E": 0.01, "A": 1.0, "alpha": 2.9, "B": 1.0, "beta": 2.9}
    fit = sl.Fitter(draws=0, start=bad).fit(table, "chinchilla")
    assert fit.coef == pytest.approx(sl.Fitter(draws=0).fit(table, "chinchilla").coef, rel=1e-6)


def test_sums_and_means_have_the_same_optimum():
    """Ten thousand copies of the objective move nothing (no absolute tolerance)."""
    table = grid_runs(noise=0.01)
    once = sl.Fitter(draws=0).fit(table, "chinchilla").coef
    tiny = sl.Fitter(draws=0).fit(table, "chinchilla", weights=np.full(64, 1e-6)).coef
    huge = sl.Fitter(draws=0).fit(table, "chinchilla", weights=np.full(64, 1e6)).coef
    assert tiny == pytest.approx(once, rel=1e-8)
    assert huge == pytest.approx(once, rel=1e-8)


def test_sandwich_is_withheld_at_a_bound():
    solution, runs = solved("chinchilla", grid_runs(), bounds={"alpha": (0.5, 0.6)})
    cov = sandwich_covariance(solution.point, runs.clusters)
    assert np.isnan(cov[2]).all()
    assert np.isfinite(np.delete(np.delete(cov, 2, 0), 2, 1)).all()


def test_a_flat_valley_does_not_stop_the_solver():
    """Exact data, a start far along the valley of E against k."""
    table = runs_of("coupled", noise=0.0)
    solution, _ = solved("coupled", table, robust=None)
    point = solution.point
    start = point.free + np.array([-0.5, 0.1, 0.05, 0.1, 0.05, -0.2])
    batch = solve_batch(replace(point.problem), start[None], tolerance=1e-20)
    assert batch.objective[0] < 1e-20


def test_many_rows_stay_within_memory():
    """Chunks shrink as rows grow: the largest array is a few draws of the rows."""
    table = grid_runs(60, 60, noise=0.01)
    fit = sl.fit(table, "chinchilla", draws=20)
    assert len(fit.runs) == 3600
    assert fit.coef["alpha"] == pytest.approx(0.3478, abs=0.01)


@pytest.mark.parametrize("seed", [4, 6, 11])
def test_no_coefficient_jumps_to_a_far_bound(seed):
    """A kink between two runs is flat in its width; that is no reason to end at the widest."""
    samples = np.round(16 * 2 ** (np.arange(20) / 2))
    bend = np.maximum(1.0, samples / 234) ** 0.5
    noise = np.random.default_rng(seed).standard_normal(20)
    runs = {"samples": samples, "loss": (0.104 + 2 * samples**-0.62 * bend) * np.exp(noise / 20)}
    fit = sl.fit(runs, "broken_power", robust=None, draws=0, law_error=False)
    misfit = np.log(fit.predict(samples=samples)["loss"].to_numpy() / runs["loss"])
    assert np.sum(misfit**2) < np.sum(noise**2) / 400


@pytest.mark.parametrize("size", [5e-324, 1e-310, 1e-100, 1.0, 1e100, 1e308])
def test_units_of_any_inputs_have_a_factor_with_an_inverse(size):
    factor = _unit_factor(sl.get_law("power"), np.full(3, size))
    assert 0.0 < factor < np.inf
    assert np.isfinite(1.0 / factor)
    assert size * factor == pytest.approx(1.0, rel=1e-12) or not 1e-299 < size < 1e299
