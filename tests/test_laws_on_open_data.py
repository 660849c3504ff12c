"""Laws on the open data they were made for: published constants, and errors that stay small."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import scaling_laws as sl

POINT = sl.Fitter(draws=0)


def spread(fit: sl.Fit) -> float:
    """Root mean square of the residuals."""
    return float(np.sqrt(np.mean(fit.residuals**2)))


def error(fit: sl.Fit, rows: pd.DataFrame, target: str = "loss") -> float:
    """Mean absolute logarithmic error on rows that were held out."""
    predicted = fit.law(**{n: rows[n] for n in fit.law.inputs})
    return float(np.mean(np.abs(np.log(predicted / rows[target]))))


@pytest.fixture(scope="module")
def repeated(shared_data):
    table = pd.read_csv(shared_data / "datablations.csv")
    return table[table.in_fit_set]


class TestRepeatedData:
    def test_second_stage_of_the_published_fit(self, repeated):
        """R_D = 15.4 and R_N = 5.3 on 182 runs; the largest 21 are not among these.

        Single epochs say nothing about R_D but much about how wrong the base law is for small
        models, which R_N then absorbs (57 and 2.3 with them): repeated runs only.
        """
        base = sl.published.MUENNIGHOFF_2023.coef
        again = repeated[repeated.epochs > 1]
        fitter = sl.Fitter(draws=0, robust=sl.Huber(1e-3), fixed=base)
        fit = fitter.fit(again, "repeated_data")
        assert fit.coef["R_D"] == pytest.approx(15.4, rel=0.4)
        assert fit.coef["R_N"] == pytest.approx(5.3, rel=0.4)
        assert {n: fit.coef[n] for n in base} == base

    def test_all_constants_at_once(self, repeated):
        law = sl.published.MUENNIGHOFF_2023_REPEATED
        published = np.log(law(**{n: repeated[n] for n in law.inputs}) / repeated.loss)
        for name in ("repeated_data", "repeated_data_saturating", "repeated_data_power_mean"):
            fit = POINT.fit(repeated, name)
            assert spread(fit) < 0.07 < float(np.sqrt(np.mean(published**2)))
            assert fit.trusted

    def test_repeats_matter_to_larger_models(self, repeated):
        small, large = repeated[repeated.params <= 2e9], repeated[repeated.params > 2e9]
        blind = error(POINT.fit(small, "chinchilla"), large)
        for name in ("repeated_data", "repeated_data_saturating", "repeated_data_power_mean"):
            assert error(POINT.fit(small, name), large) < blind


CLARK = {  # 2022, table 3: a, b, c, d, experts_start, experts_max
    "S-Base": (-0.082, -0.108, 0.009, 1.104, 1.847, 314.478),
    "RL-R": (-0.083, -0.126, 0.012, 1.111, 1.880, 469.982),
    "Hash": (-0.087, -0.136, 0.012, 1.157, 4.175, 477.741),
}


class TestExperts:
    @pytest.mark.parametrize("router", CLARK)
    def test_routed_near_the_published(self, shared_data, router):
        runs = pd.read_csv(shared_data / "routing.csv")
        runs = runs[runs.is_final & (runs.routing_frequency == 0.5) & (runs.k == 1)]
        runs = runs[(runs.seed == 42) & runs.router_type.isin(["Dense", router])]
        runs = runs.rename(columns={"num_experts": "experts", "dense_params": "params"})
        fit = POINT.fit(runs, "routed")
        close = dict(zip(fit.coef, (0.005, 0.02, 0.004, 0.04, 0.4, 90.0), strict=True))
        for name, published in zip(fit.coef, CLARK[router], strict=True):
            assert abs(fit.coef[name] - published) < close[name], name
        assert spread(fit) < 0.007
        assert fit.trusted
        assert spread(POINT.fit(runs, "experts_product")) < 0.009

    def test_all_routers_together(self, shared_data):
        runs = pd.read_csv(shared_data / "scalebench_moe.csv")
        runs = runs.rename(columns={"num_experts": "experts", "dense_params": "params"})
        fit = POINT.fit(runs, "experts_product")
        assert fit.coef["alpha"] == pytest.approx(0.19, abs=0.02)  # their refit
        assert fit.coef["beta"] == pytest.approx(0.07, abs=0.02)
        assert spread(fit) < 0.022


@pytest.mark.parametrize("corpus", ["pile", "stack"])
def test_four_and_eight_streams_follow_from_one_and_two(shared_data, corpus):
    runs = pd.read_csv(shared_data / "scalebench_parallel.csv").query("group == @corpus")
    runs = runs.rename(columns={"parallel_size": "streams"})
    assert spread(POINT.fit(runs, "parallel_streams")) < 0.0025
    few, many = runs[runs.streams <= 2], runs[runs.streams > 2]
    assert error(POINT.fit(few, "parallel_streams"), many) < 0.006


def test_vocabulary_on_losses_below_zero(shared_data):
    """Relative to a unigram model a loss is negative: residuals on the target itself."""
    runs = pd.read_csv(shared_data / "scalebench_vocab.csv")
    columns = {"params": "non_vocab_params", "tokens": "num_characters"}
    columns["loss"] = "loss_unigram_normalized"
    fit = sl.Fitter(draws=0, residual="linear").fit(runs, "vocabulary_product", columns=columns)
    assert spread(fit) < 0.1
    assert fit.coef["E"] < runs.loss_unigram_normalized.min()
    assert fit.coef["mu"] > 0 > fit.coef["nu"]  # helps the model, costs data: an optimum between


def test_fine_tuning_beats_a_plain_power_when_held_out(shared_data):
    runs = pd.read_csv(shared_data / "scalebench_sft.csv")
    errors = {"rectified": [], "power_with_floor": []}
    for _, rows in list(runs.groupby("group"))[::4]:
        small = rows.samples <= rows.samples.max() / 4
        for law, found in errors.items():
            fit = POINT.fit(rows[small], law, inputs=("samples",))
            found.append(error(fit, rows[~small]))
    assert np.median(errors["rectified"]) < 0.02
    assert np.mean(errors["rectified"]) < 0.5 * np.mean(errors["power_with_floor"])


def test_distillation_needs_the_teacher(shared_data):
    runs = pd.read_csv(shared_data / "scalebench_distillation.csv")
    fit = POINT.fit(runs, "distillation")
    assert spread(fit) < 0.003
    assert spread(POINT.fit(runs, "chinchilla")) > 10 * spread(fit)
    strong, weak = runs[runs.teacher_loss < 2.45], runs[runs.teacher_loss >= 2.45]
    assert error(POINT.fit(strong, "distillation"), weak) < 0.004


def test_best_learning_rate_and_batch_follow_step_law(shared_data):
    runs = pd.read_csv(shared_data / "steplaw_dense.csv").query("not diverged")
    runs = runs.drop(columns="loss").rename(columns={"loss_smooth": "loss"})
    columns = {"learning_rate": "lr", "batch_size": "batch_size_tokens"}
    fit = POINT.fit(runs.iloc[::4], "learning_rate_batch", columns=columns)
    coef = fit.coef
    assert coef["c"] == pytest.approx(0.571, abs=0.1)
    sizes, data = np.array([2.15e8, 1.07e9]), np.array([2e10, 1e11])
    best = coef["k"] * sizes ** coef["a"] * data ** coef["b"]
    np.testing.assert_allclose(best, 1.79 * sizes**-0.713 * data**0.307, rtol=0.5)


@pytest.mark.parametrize(
    ("law", "most"),
    [("mixture_additive", 0.01), ("mixture_inverse", 0.01), ("mixture_exponential", 0.02)],
)
def test_mixtures_of_five_domains(shared_data, law, most):
    runs = pd.read_csv(shared_data / "scalebench_domain_mixture.csv").query("group == '410M'")
    domains = tuple(f"proportion_domain_{i}" for i in range(1, 6))
    for i in (1, 4):
        columns = {"loss": f"loss_domain_{i}"}
        assert spread(POINT.fit(runs, law, inputs=domains, columns=columns)) < most


def test_accuracy_from_task_loss_predicts_larger_models(shared_data):
    runs = pd.read_csv(shared_data / "olmo_ladder.csv").query("is_final")
    runs = runs.rename(columns={"bpb_hellaswag_val": "task_loss", "acc_hellaswag_val": "accuracy"})
    small, large = runs[runs.role != "target"], runs[runs.role == "target"]
    fit = POINT.fit(small, "logistic", target="accuracy")
    assert fit.coef["chance"] == pytest.approx(0.25, abs=0.03)
    assert error(fit, large, "accuracy") < 0.03


def test_a_curve_that_turns_needs_the_quadratic(shared_data):
    runs = pd.read_csv(shared_data / "scalebench_easy_question.csv").query("group == 'hellaswag'")
    fitter = sl.Fitter(draws=0, residual="linear")
    columns = {"flops": "flops_1e21"}
    turning, straight = (
        fitter.fit(runs, law, target="neg_brier", inputs=("flops",), columns=columns)
        for law in ("log_quadratic", "logarithmic")
    )
    assert spread(turning) < 0.7 * spread(straight)


@pytest.fixture(scope="module")
def translation(shared_data):
    """Five data-scaling curves; the largest size of each was held out by the authors too."""
    runs = pd.read_csv(shared_data / "nmt.csv").rename(columns={"examples": "samples"})
    return [rows for _, rows in runs.groupby("model")]


def test_the_reciprocal_shift_was_made_for_translation(translation):
    errors = {"reciprocal_shift_power": [], "power_with_floor": [], "power": []}
    for rows in translation:
        for law, found in errors.items():
            fit = POINT.fit(rows[rows.training == 1], law, inputs=("samples",))
            found.append(error(fit, rows[rows.training == 0]))
    assert max(errors["reciprocal_shift_power"]) < 0.02
    assert np.all(np.less(errors["reciprocal_shift_power"], errors["power_with_floor"]))
    assert min(errors["power"]) > 0.15


def test_skew_is_never_worse_than_none_where_it_was_fitted(translation):
    for rows in translation[::2]:
        skewed, even = (
            sl.Fitter(draws=0, robust=None).fit(rows, law, inputs=("samples",))
            for law in ("skewed_two_plateau", "two_plateau")
        )
        assert skewed.objective <= even.objective * (1 + 1e-9)
