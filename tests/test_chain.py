"""Two fits in a row: closed forms, simulated truth with a negative control, plans, and messages."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

import scaling_laws as sl
from scaling_laws.inference.chaining import link_law_error

FLOPS = np.geomspace(1e18, 1e21, 24)
LINK = {"chance": 0.25, "best": 0.95, "middle": 0.75, "k": 9.0}
HELD = {"fixed": {"chance": 0.25, "best": 0.95}, "robust": None}


def expected_loss(flops: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * (flops / 1e18) ** -0.15


def expected_accuracy(loss: np.ndarray) -> np.ndarray:
    return 0.25 + 0.7 / (1 + np.exp(9.0 * (loss - 0.75)))


def world(seed: int, flops: np.ndarray = FLOPS, *, noise=0.01, scatter=0.04, questions=None):
    """Runs whose loss and accuracy follow known laws with known noise."""
    rng = np.random.default_rng(seed)
    loss = expected_loss(flops) * np.exp(noise * rng.standard_normal(len(flops)))
    share = expected_accuracy(loss)
    share = 1 / (1 + (1 / share - 1) * np.exp(-scatter * rng.standard_normal(len(flops))))
    if questions is not None:
        share = rng.binomial(questions, share) / questions
    return pd.DataFrame({"flops": flops, "task_loss": loss, "accuracy": share})


def steps(runs: pd.DataFrame, draws: int = 100, **options):
    """Both fits; the law's own error is left out where the world follows the laws."""
    common = {"draws": draws, "law_error": False, **options}
    loss = sl.fit(runs, "power_with_floor", target="task_loss", robust=None, **common)
    return loss, sl.fit(runs, "logistic", target="accuracy", **HELD, **common)


@pytest.fixture(scope="module")
def chained():
    loss, link = steps(world(0), draws=400)
    return sl.chain(loss, link)


class TestPrediction:
    def test_the_point_is_the_link_of_the_loss(self, chained):
        ahead = chained.predict(flops=[1e20, 1e22])
        loss = chained.loss.predict(flops=[1e20, 1e22]).task_loss
        np.testing.assert_allclose(ahead.accuracy, chained.link.law(task_loss=loss), rtol=1e-12)
        np.testing.assert_allclose(chained.law(flops=[1e20, 1e22]), ahead.accuracy, rtol=1e-12)

    def test_same_columns_as_a_fit_and_ordered_intervals(self, chained):
        at = {"flops": np.geomspace(1e17, 1e24, 15)}
        run = chained.predict(at)
        assert list(run.columns) == [
            "flops", "accuracy", "accuracy_low", "accuracy_high", "extrapolation",
        ]  # fmt: skip
        mean, wide = chained.predict(at, kind="mean"), chained.predict(at, level=0.99)
        tables = [wide, run, mean]
        for outer, inner in pairwise(tables):
            assert (outer.accuracy_low <= inner.accuracy_low).all()
            assert (outer.accuracy_high >= inner.accuracy_high).all()
        assert ((wide.accuracy_low >= 0) & (wide.accuracy_high <= 1)).all()
        assert run.extrapolation.tolist() == chained.loss.predict(at).extrapolation.tolist()

    def test_powers_of_powers_in_closed_form(self):
        """ln y = -b ln L + noise and ln L = -a ln x + noise: variances add as b^2 s1^2 + s2^2."""
        rng = np.random.default_rng(3)
        x = np.geomspace(1e3, 1e6, 400)
        loss = 9.0 * x**-0.2 * np.exp(0.02 * rng.standard_normal(len(x)))
        y = 5.0 * loss**-1.5 * np.exp(0.03 * rng.standard_normal(len(x)))
        runs = {"samples": x, "task_loss": loss, "rmse": y}
        options = {"robust": None, "law_error": False, "draws": 400}
        first = sl.fit(runs, "power", inputs=("samples",), target="task_loss", **options)
        link = sl.fit(runs, "power", inputs=("task_loss",), target="rmse", **options)
        ahead = sl.chain(first, link).predict(samples=1e5, level=0.6827)
        width = 0.5 * np.log(ahead.rmse_high / ahead.rmse_low)[0]
        assert width == pytest.approx(np.hypot(1.5 * 0.02, 0.03), rel=0.12)

    def test_steps_fitted_to_the_same_runs_have_independent_draws(self):
        runs = world(4).assign(run=[f"run {i}" for i in range(24)])
        predictive = sl.chain(*steps(runs, draws=400)).predictive
        one, two = predictive.first.coef, predictive.link.coef[:, 2:]
        both = np.corrcoef(one.T, two.T)[:3, 3:]
        assert np.abs(both).max() < 0.2
        assert abs(np.corrcoef(predictive.first.z_run, predictive.z_run)[0, 1]) < 0.2

    def test_parts_add_up_and_the_noise_of_the_loss_counts(self, chained):
        parts = chained.uncertainty(flops=1e20)
        slope = 9.0 * (expected_loss(1e20) - 0.01) * 0.01  # of the logit, about, times noise
        assert parts.run[0] > np.hypot(0.03, 0.5 * slope)
        assert parts.total[0] == pytest.approx(
            np.sqrt(parts.coefficients[0] ** 2 + parts.law[0] ** 2 + parts.run[0] ** 2)
        )

    def test_without_draws_no_interval(self):
        ahead = sl.chain(*steps(world(5), draws=0)).predict(flops=1e22)
        assert ahead.accuracy_low.isna().all()

    def test_the_same_twice(self, chained):
        again = sl.chain(chained.loss, chained.link).predict(flops=[1e20, 1e22])
        pd.testing.assert_frame_equal(again, chained.predict(flops=[1e20, 1e22]))

    def test_a_selection_as_first_step(self):
        runs = world(6)
        loss = sl.select(
            runs, ["power_with_floor", "power"], target="task_loss", inputs=("flops",), draws=100
        )
        ahead = sl.chain(loss, steps(runs)[1]).predict(flops=[1e20, 1e22])
        assert (ahead.accuracy_low < ahead.accuracy).all()
        assert (ahead.accuracy_high > ahead.accuracy).all()
        assert ahead.accuracy[1] == pytest.approx(expected_accuracy(expected_loss(1e22)), abs=0.08)


class TestCoverage:
    def test_intervals_hold_new_runs_and_the_link_alone_does_not(self):
        """In 16 worlds: nominal 90 %; with the loss taken as known, far less."""
        flops = np.array([3e19, 1e21, 1e22, 1e23])
        inside, alone = [], []
        for seed in range(16):
            loss, link = steps(world(100 + seed), draws=60)
            new = world(1_000 + seed, flops)
            chain = sl.chain(loss, link).predict(flops=flops)
            known = link.predict(task_loss=loss.predict(flops=flops).task_loss)
            for found, table in ((inside, chain), (alone, known)):
                found.append(new.accuracy.between(table.accuracy_low, table.accuracy_high))
        assert 0.82 <= np.mean(inside) <= 0.97
        assert np.mean(alone) < 0.75

    def test_the_noise_of_questions_follows_the_score(self):
        """Noise of 200 questions and none else: at 0.9 smaller than where the runs are."""
        questions = 200
        runs = world(8, np.geomspace(1e18, 1e22, 300), noise=1e-6, scatter=0.0, questions=questions)
        loss, link = steps(runs)
        chain = sl.chain(loss, link, questions=questions)
        for flops in (1e19, 1e23):
            share = expected_accuracy(expected_loss(flops))
            low, high = np.ravel(
                chain.predict(flops=flops, level=0.6827)[["accuracy_low", "accuracy_high"]]
            )
            sd = np.sqrt(share * (1 - share) / questions)
            assert 0.5 * (high - low) == pytest.approx(sd, rel=0.15)
        plain = sl.chain(loss, link).predict(flops=1e23, level=0.6827)
        fewer = sl.chain(loss, link, questions=50).predict(flops=1e23, level=0.6827)
        width = plain.accuracy_high[0] - plain.accuracy_low[0]
        assert fewer.accuracy_high[0] - fewer.accuracy_low[0] > 1.3 * width


class TestLinkError:
    def test_a_wrong_link_is_found_out_by_its_backtests(self):
        loss = np.linspace(0.9, 2.4, 40)
        rates = []
        for bend in (0.0, 0.25):
            share = expected_accuracy(0.4 * loss) - bend * np.maximum(1.4 - loss, 0.0)
            noise = 0.002 * np.random.default_rng(9).standard_normal(40)
            runs = {"task_loss": loss, "accuracy": share + noise}
            fit = sl.fit(runs, "logistic", target="accuracy", draws=0, **HELD)
            rates.append(link_law_error(fit.fitter, fit.runs, fit.law.family).rate)
        assert rates[1] > 2 * rates[0]

    def test_it_grows_below_the_smallest_loss_only(self):
        loss, link = steps(world(10), law_error=True)
        chain = sl.chain(loss, link)
        error = chain.predictive.link_error
        lowest, highest = link.ranges["task_loss"]
        at = np.array([highest, lowest, 0.9 * lowest])
        size = error.at(at)
        assert size[:2].tolist() == pytest.approx([0.0, 0.0], abs=1e-9)
        assert size[2] == pytest.approx(error.rate * np.log(1 / 0.9))

    @pytest.mark.parametrize("unit", [1e-3, 1e3])
    def test_scores_in_another_unit_have_their_intervals_in_it(self, unit):
        runs = world(3).assign(run=range(24))  # so that draws do not depend on the scores
        widths = []
        for scale in (1.0, unit):
            table = runs.assign(score=scale * runs.accuracy)
            loss = sl.fit(table, "power_with_floor", target="task_loss", draws=50)
            bound = {"inputs": ("task_loss",), "target": "score", "residual": "linear"}
            held = {"chance": 0.25 * scale, "best": 0.95 * scale}
            link = sl.fit(table, "logistic", fixed=held, draws=50, **bound)
            ahead = sl.chain(loss, link).predict(flops=1e23, kind="mean")
            widths.append((ahead.score_high - ahead.score_low)[0] / scale)
        assert widths[1] == pytest.approx(widths[0], rel=1e-3)

    @pytest.mark.parametrize("bend", [0.0, 0.3])
    def test_of_values_that_are_not_positive_it_grows_by_their_span(self, bend):
        """A margin from 1.2 down to -0.9, and a link that is bent at low margins, or is not."""
        rng, flops = np.random.default_rng(0), np.geomspace(1e18, 1e21, 30)
        margin = 1.2 - 0.3 * np.log(flops / 1e18)
        rating = 10 - 3 * margin - bend * np.maximum(-margin, 0.0) ** 2
        runs = {"flops": flops, "margin": margin, "rating": rating + 0.02 * rng.standard_normal(30)}
        chains = []
        for law_error in (True, False):
            options = {"draws": 100, "law_error": law_error, "residual": "linear"}
            loss = sl.fit(runs, "logarithmic", target="margin", **options)
            link = sl.fit(runs, "linear", inputs=("margin",), target="rating", **options)
            chains.append(sl.chain(loss, link))
        error = chains[0].predictive.link_error
        low, high = margin.min(), margin.max()
        at = np.array([high + 1.0, high, 0.0, low, low - 0.5, low - 1.0])
        expected = error.rate / (high - low) * np.array([0.0, 0.0, 0.0, 0.0, 0.5, 1.0])
        np.testing.assert_allclose(error.at(at), expected, atol=1e-12)
        assert chains[1].predictive.link_error is None
        sure, alone = (c.predict(flops=1e23, kind="mean") for c in chains)
        widths = [float((p.rating_high - p.rating_low)[0]) for p in (sure, alone)]
        assert widths[0] > 2 * widths[1]
        truth = 10 + 3 * 2.254 - bend * 2.254**2  # of the margin at 1e23 FLOP
        assert (alone.rating_low[0] < truth < alone.rating_high[0]) == (bend == 0)
        assert sure.rating_low[0] < truth < sure.rating_high[0]

    def test_of_a_score_it_grows_above_the_largest(self):
        score = np.linspace(0.2, 0.6, 30)
        runs = {"accuracy": score, "rating": 4 + 9 * score + 0.01 * np.sin(40 * score)}
        link = sl.fit(runs, "linear", inputs=("accuracy",), target="rating", draws=20)
        error = link_law_error(link.fitter, link.runs, link.law.family)
        at = error.at(np.array([0.1, 0.2, 0.6, 0.9]))
        assert at[:3].tolist() == pytest.approx([0.0, 0.0, 0.0], abs=1e-9)
        assert at[3] == pytest.approx(error.rate * np.log(1.5))

    def test_a_loss_below_zero_is_as_far_as_can_be(self):
        steps = np.arange(1.0, 13.0) * 100
        runs = {"steps": steps, "task_loss": 3.0 - steps / 600}
        share = 0.95 - 0.7 / (1 + np.exp(3.0 * (2.0 - runs["task_loss"])))
        runs["accuracy"] = share + 0.002 * np.random.default_rng(0).standard_normal(12)
        inputs = ("steps",)
        loss = sl.fit(
            runs, "linear", inputs=inputs, target="task_loss", residual="linear", draws=50
        )
        link = sl.fit(runs, "logistic", target="accuracy", draws=50)
        there = sl.chain(loss, link).predict(steps=[1200.0, 5000.0], kind="mean")
        assert there.accuracy_high[0] - there.accuracy_low[0] < 0.05
        assert there.accuracy_low[1] < 0.1
        assert there.accuracy_high[1] > 0.99


class TestPlanning:
    def test_the_best_split_for_accuracy_is_that_for_the_loss(self):
        params, tokens = (v.ravel() for v in np.meshgrid(np.geomspace(1e8, 2e9, 5),
                                                         np.geomspace(2e9, 1e11, 5)))  # fmt: skip
        truth = sl.published.HOFFMANN_2022(params=params, tokens=tokens)
        runs = {"params": params, "tokens": tokens, "task_loss": truth}
        runs["accuracy"] = 0.25 + 0.7 / (1 + np.exp(4 * (truth - 2.6)))
        loss = sl.fit(runs, "chinchilla", target="task_loss", draws=30)
        link = sl.fit(runs, "logistic", target="accuracy", draws=30, **HELD)
        chain = sl.chain(loss, link)
        for_loss = sl.Planner(loss).for_budget(flops=1e22)
        for_score = sl.Planner(chain).for_budget(flops=1e22)
        assert for_score.best["params"] == pytest.approx(for_loss.best["params"], rel=0.01)
        wanted = sl.Planner(chain).for_target(0.85)
        assert wanted.feasible
        at = {n: wanted.best[n] for n in ("params", "tokens")}
        assert chain.law(**at) == pytest.approx(0.85, abs=1e-4)
        assert not sl.Planner(chain).for_target(0.99).feasible


class TestMessages:
    def test_steps_that_do_not_meet(self):
        runs = world(11).rename(columns={"task_loss": "loss"})
        loss = sl.fit(runs, "power_with_floor", draws=0)
        link = steps(world(11), draws=0)[1]
        with pytest.raises(sl.DataError, match=r"first step predicts 'loss'.*inputs=\('loss',\)"):
            sl.chain(loss, link)

    def test_things_that_are_no_fits(self, chained):
        with pytest.raises(sl.DataError, match="got Law and Fit"):
            sl.chain(sl.published.HOFFMANN_2022, chained.link)

    @pytest.mark.parametrize("questions", [0, -5, 2.5, True, "100"])
    def test_impossible_questions(self, chained, questions):
        with pytest.raises(sl.DataError, match="whole number"):
            sl.chain(chained.loss, chained.link, questions=questions)

    def test_questions_of_something_that_is_no_share(self):
        runs = world(12)
        loss, _ = steps(runs, draws=0)
        link = sl.fit(runs.assign(perplexity=np.exp(runs.task_loss)), "power", draws=0,
                      target="perplexity", inputs=("task_loss",))  # fmt: skip
        with pytest.raises(sl.DataError, match="score that is a share"):
            sl.chain(loss, link, questions=100)

    def test_losses_in_another_unit_are_noted(self):
        runs = world(13)
        loss = steps(runs.assign(task_loss=10 * runs.task_loss), draws=0)[0]
        chain = sl.chain(loss, steps(runs, draws=0)[1])
        assert "links_apart" in [n.code for n in chain.notes]
        assert not chain.trusted

    def test_what_belongs_to_a_step_is_sought_there(self, chained):
        with pytest.raises(AttributeError, match=r"chain.loss.residuals, chain.link.residuals"):
            _ = chained.residuals
        with pytest.raises(AttributeError, match=r"has no 'colour'\.$"):
            _ = chained.colour
        assert not hasattr(chained, "runs")

    @pytest.mark.parametrize(
        "asked",
        [
            lambda chain, folder: sl.report(chain, folder),
            lambda chain, folder: sl.diagnose(chain),
            lambda chain, folder: sl.compare({"a": chain, "b": chain}),
            lambda chain, folder: sl.next_runs(chain, {"flops": [1e22]}, at={"flops": [1e23]}),
            lambda chain, folder: sl.plot.fit_table(chain),
        ],
    )
    def test_what_needs_a_fit_names_the_steps(self, chained, asked, tmp_path):
        with pytest.raises(sl.ScalingLawError, match=r"chain\.loss or chain\.link"):
            asked(chained, tmp_path)

    @pytest.mark.parametrize("questions", [None, 1_000])
    def test_a_saved_chain_predicts_the_same(self, chained, questions, tmp_path):
        chain = sl.chain(chained.loss, chained.link, questions=questions)
        chain.save(tmp_path / "chain.json")
        again = sl.load(tmp_path / "chain.json")
        assert again.questions == questions
        assert again.notes == chain.notes
        at = {"flops": [1e20, 1e22]}
        pd.testing.assert_frame_equal(again.predict(at), chain.predict(at))

    def test_a_saved_chain_of_a_selection_predicts_the_same(self, chained, tmp_path):
        runs = world(6)
        chain = sl.chain(
            sl.select(runs, target="task_loss", inputs=("flops",), draws=30), chained.link
        )
        chain.save(tmp_path / "chain.json")
        at = {"flops": [1e20, 1e22]}
        pd.testing.assert_frame_equal(
            sl.load(tmp_path / "chain.json").predict(at), chain.predict(at)
        )

    def test_numpy_counts_questions_too(self, chained):
        one, other = (sl.chain(chained.loss, chained.link, questions=n) for n in (9, np.int64(9)))
        assert one.predict(flops=1e22).equals(other.predict(flops=1e22))

    def test_the_text_names_both_steps(self, chained):
        text = str(sl.chain(chained.loss, chained.link, questions=1_000))
        assert "task_loss from flops by power_with_floor" in text
        assert "accuracy by logistic on 1,000 questions" in text
        assert "alpha_1" in text
        assert "middle_2" in text


class TestLinks:
    def test_loss_to_error_is_a_power_of_perplexity(self):
        loss = np.linspace(2.0, 6.0, 9)
        law = sl.get_law("loss_to_error").with_coef({"chance": 0.85, "k": 2.1, "gamma": 0.76})
        np.testing.assert_allclose(law(task_loss=loss), 0.85 - 2.1 * np.exp(loss) ** -0.76)

    def test_log_sigmoid_keeps_its_levels(self):
        family = sl.get_law("log_sigmoid")
        law = family.with_coef({"a": 0.25, "c": 0.05, "middle": 0.8, "k": 40.0})
        assert law(task_loss=5.0) == pytest.approx(1 + 0.25 * np.log(0.05))
        assert law(task_loss=0.01) == pytest.approx(1 + 0.25 * np.log(1.05))

    def test_one_step_is_logistic_of_chinchilla(self):
        base = sl.published.HOFFMANN_2022
        chain = sl.get_law("logistic").with_coef({**LINK, "k": 4.0, "middle": 2.6})
        direct = sl.get_law("logistic_joint").with_coef(
            {"chance": 0.25, "best": 0.95, "c": 4.0 * (2.6 - base.coef["E"]), "A": 4 * 406.4,
             "alpha": 0.34, "B": 4 * 410.7, "beta": 0.28}
        )  # fmt: skip
        at = {"params": np.geomspace(1e7, 1e11, 5), "tokens": np.geomspace(1e9, 1e13, 5)}
        np.testing.assert_allclose(direct(**at), chain(task_loss=base(**at)))


def test_accuracy_of_a_13b_model_from_models_of_1b(shared_data):
    """Bhagia et al. 2024: within 2 points on HellaSwag, by their own fit 2.1."""
    runs = pd.read_csv(shared_data / "olmo_ladder.csv", low_memory=False).query("is_final")
    runs = runs.rename(columns={"bpb_hellaswag_val": "task_loss", "acc_hellaswag_val": "accuracy"})
    small, large = runs[runs.role == "ladder"], runs[runs.role == "target"]
    loss = sl.fit(small, "chinchilla", target="task_loss", draws=50)
    link = sl.fit(
        small, "logistic", target="accuracy", draws=50,
        fixed={"chance": 0.25}, bounds={"best": (0.25, 1.0)},
    )  # fmt: skip
    ahead = sl.chain(loss, link, questions=10_042).predict(large)
    assert (np.abs(ahead.accuracy - large.accuracy) < 0.03).all()
    assert large.accuracy.between(ahead.accuracy_low, ahead.accuracy_high).all()
