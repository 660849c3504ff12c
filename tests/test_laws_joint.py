"""Laws of several inputs: values worked elsewhere, limits, and coefficients that come back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from formulas_joint import JOINT
from simulate import runs_of

import scaling_laws as sl
from scaling_laws.laws.registry import get_law

POINT = sl.Fitter(draws=0)
RNG = np.random.default_rng(0)
N, D, U, X = (np.exp(RNG.uniform(np.log(a), np.log(b), 50)) for a, b in
              [(1e7, 1e10), (1e8, 1e11), (1e8, 1e10), (1.0, 64.0)])  # fmt: skip
BASE = {"E": 1.69, "A": 406.4, "alpha": 0.34, "B": 410.7, "beta": 0.28}


def value(law: str, inputs: list, **coef: float) -> np.ndarray:
    family = get_law(law)
    return family.evaluate(inputs, [coef[n] for n in family.coefficient_names])


def example(law: str, **changed: float) -> dict[str, float]:
    return {**get_law(law).example, **changed}


CHINCHILLA = value("chinchilla", [N, D], **BASE)

# --- coefficients come back from a cold start ---------------------------------------------------


@pytest.mark.parametrize("name", sorted(JOINT))
def test_noise_free_runs_give_their_coefficients_back(name):
    """To 1e-6 where the Jacobian, its columns at unit length, is conditioned below 1e8."""
    table, family = runs_of(name, noise=0.0), get_law(name)
    inputs = [table[n].to_numpy() for n in family.inputs]
    truth = [family.example[n] for n in family.coefficient_names]
    predicted, columns = family.evaluate_with_jacobian(inputs, truth)
    jacobian = np.stack([np.broadcast_to(c, predicted.shape) for c in columns], 1)
    jacobian /= predicted[:, None]
    fit = POINT.fit(table, name)
    found = fit.law(**{n: table[n] for n in family.inputs})
    np.testing.assert_allclose(found, table.loss, rtol=1e-8)
    if np.linalg.cond(jacobian / np.linalg.norm(jacobian, axis=0)) < 1e8:
        assert fit.coef == pytest.approx(dict(family.example), rel=1e-6)


def test_none_of_them_is_proposed_by_automatic_selection():
    assert [n for n in JOINT if get_law(n).candidate] == []


# --- one law is another -------------------------------------------------------------------------

SPARSE = get_law("sparse_weights").example
QUANTISED = example("quantised")
EPOCHS = example("utility_half_life")
PROGRESS = example("algorithmic_progress")
KAPLAN = {n: get_law("transfer").example[n] for n in ("Nc", "alpha_N", "Dc", "alpha_D")}
CURVE = example("kaplan_learning_curve")
UNIQUE = np.minimum(U, D)

SAME = {
    "an exponent that does not decay in fresh data is chinchilla": (
        value("repeated_data_decay", [N, 1e3 * N, 1e3 * N], R_D=20.0, R_N=20.0, **BASE),
        value("chinchilla", [N, 1e3 * N], **BASE),
    ),
    "an exponent that has decayed leaves the amplitude": (
        value("repeated_data_decay", [N, 1e9 * N, 1e3 * N], R_D=20.0, R_N=20.0, **BASE),
        1.69 + 406.4 * N**-0.34 + 410.7,
    ),
    "all tokens distinct, chinchilla (geometric)": (
        value("repeated_data_geometric", [N, D, D], gamma=0.4, **BASE),
        CHINCHILLA,
    ),
    "all tokens distinct, chinchilla (overfit)": (
        value("repeated_data_overfit", [N, D, D], C=0.5, c=0.8, d=0.1, **BASE),
        CHINCHILLA,
    ),
    "where each repetition costs all it brings, only distinct tokens count": (
        value("repeated_data_overfit", [N, D, UNIQUE], C=1.0, c=1.0, d=0.0, **BASE),
        value("chinchilla", [N, UNIQUE], **BASE),
    ),
    "two and a half passes, each with its exponent": (
        value("utility_half_life", [U, 2.5], **EPOCHS),
        1.9 + 2e3 * U**-0.37 * 2 ** (-0.37 * 0.5 ** (1 / 6)) * 1.25 ** (-0.37 * 0.5 ** (2 / 6)),
    ),
    "a dense model has two terms in size": (
        value("sparsity_joint", [N, D, 1.0], **example("sparsity_joint")),
        0.94 + 0.4598 + 16612.5 * N**-0.5962 + 5455.67 * D**-0.3954 + 17.26 * N**-0.1595,
    ),
    "beyond many experts only the second rate is left": (
        value("experts_two_rates", [N, 1e90], **example("experts_two_rates", beta=3.0)),
        1.4 + 3.0 * N ** (-0.6 * 0.22),
    ),
    "very fine experts, chinchilla": (
        value("granularity", [N, D, 1e300], E=1.69, g=5.0, gamma=0.6, a=406.4, alpha=0.34,
              b=410.7, beta=0.28),
        CHINCHILLA,
    ),
    "a dense model of weights is chinchilla": (
        value("sparse_weights", [N, D, 1.0], **SPARSE),
        value("chinchilla", [N, D], E=SPARSE["E"], A=SPARSE["g"] + SPARSE["a"],
              alpha=SPARSE["alpha"], B=SPARSE["b"], beta=SPARSE["beta"]),
    ),
    "quantised is trained, and the penalty": (
        value("quantised", [N, D, X], **QUANTISED),
        value("chinchilla", [N, D], **{n: QUANTISED[n] for n in BASE})
        + value("quantisation_penalty", [N, D, X], **example("quantisation_penalty")),
    ),
    "many bits after training, chinchilla": (
        value("quantised", [N, D, 1e3], **{**QUANTISED, **BASE}),
        CHINCHILLA,
    ),
    "large batches waste no step": (
        value("kaplan_learning_curve", [N, D / 1e6, 1e300], **CURVE),
        (CURVE["Nc"] / N) ** CURVE["alpha_N"] + (CURVE["Sc"] * 1e6 / D) ** CURVE["alpha_S"],
    ),
    "a year later counts are worth their gain": (
        value("algorithmic_progress", [N, D, 2024.0], **PROGRESS),
        value("algorithmic_progress", [N * np.exp(0.15), D * np.exp(0.5), 2023.0], **PROGRESS),
    ),
    "other domains that do nothing leave a shifted power": (
        value("mixture_own", [X / 64, 0.3, 0.2], A=2.0, share_0=0.05, alpha_web=0.1, w_code=0.0,
              w_books=0.0),
        2.0 * (X / 64 + 0.05) ** -0.1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SAME)
def test_one_law_is_another(case):
    special, expected = SAME[case]
    np.testing.assert_allclose(special, np.broadcast_to(expected, np.shape(special)), rtol=1e-8)


def coupled_towards_bottleneck(k: float) -> np.ndarray:
    """The coupled law with its terms held as ``k`` shrinks."""
    size, data = (c ** (1 / k) for c in (40.0, 90.0))
    return value("coupled", [N, D], E=1.69, A=size, alpha=0.2 / k, B=data, beta=0.2 / k, k=k)


SMALL_ENVELOPE = {"top": 1.0, "alpha": 0.34, "beta": 0.28}
LIMITS = {  # law as a function of a small number, its limit, and the order it is approached at
    "coupled to bottleneck": (
        coupled_towards_bottleneck,
        value("bottleneck", [N, D], E=1.69, A=40.0, alpha=0.2, B=90.0, beta=0.2),
        None,
    ),
    "small gaps of the envelope to chinchilla": (
        lambda h: value("envelope", [N, D], c=1.69 * h, A=406.4 * h, B=410.7 * h,
                        **SMALL_ENVELOPE) / h,
        CHINCHILLA,
        2,
    ),
    "large gaps of the envelope to its top": (
        lambda h: value("envelope", [N, D], c=1.69 / h, A=406.4 / h, B=410.7 / h,
                        **SMALL_ENVELOPE),
        np.ones(50),
        2,
    ),
    "exponents that decay slowly to chinchilla": (
        lambda h: value("repeated_data_decay", [N, D, U], R_D=1e5 / h, R_N=1e5 / h, **BASE),
        CHINCHILLA,
        1,
    ),
    "repetition that costs little to chinchilla": (
        lambda h: value("repeated_data_overfit", [N, D, U], C=0.01 * h, c=0.5, d=0.0, **BASE),
        CHINCHILLA,
        1,
    ),
    "passes that keep their worth to a power of all tokens": (
        lambda h: value("utility_half_life", [U, 7.5], **{**EPOCHS, "tau": 100.0 / h}),
        1.9 + 2e3 * (7.5 * U) ** -0.37,
        1,
    ),
    "fine experts to chinchilla": (
        lambda h: value("granularity", [N, D, 10.0 / h], E=1.69, g=50.0, gamma=0.5, a=406.4,
                        alpha=0.34, b=410.7, beta=0.28),
        CHINCHILLA,
        0.5,
    ),
    "little transfer to kaplan": (
        lambda h: value("transfer", [N, D], k=1e-6 * h, delta=0.5, nu=0.5, **KAPLAN),
        value("kaplan", [N, D], **KAPLAN),
        1,
    ),
    "large batches to the clean curve": (
        lambda h: value("kaplan_learning_curve", [N, D / 1e6, 1e12 / h], **CURVE),
        SAME["large batches waste no step"][1],
        1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LIMITS)
def test_a_limit_is_approached_at_its_order(case):
    law, limit, order = LIMITS[case]
    far, near = (np.abs(law(h) - limit).max() for h in (0.02, 0.01))
    assert near < far < 0.1
    if order is not None:
        assert np.log2(far / near) == pytest.approx(order, abs=0.1)


# --- values worked elsewhere --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "tokens", "loss"),
    [(1e9, 2e10, 0.539409), (6.4e9, 1e11, 0.461211), (2.5e10, 4e11, 0.413817)],
)
def test_farseer_as_published(params, tokens, loss):
    law = get_law("farseer").with_coef(get_law("farseer").example)
    assert law(params=params, tokens=tokens) == pytest.approx(loss, abs=6e-7)


LUDZIEJEWSKI = {  # 2025, table 4: experts, then size and data terms of the law reduced to them
    1: (30.364, 0.1817, 53.9838, 0.1965),
    2: (27.7982, 0.178, 66.8401, 0.2065),
    4: (24.8462, 0.1731, 87.7022, 0.2192),
    8: (21.833, 0.1676, 119.9126, 0.2338),
    16: (19.0159, 0.1617, 167.5073, 0.2494),
    32: (16.5424, 0.1557, 234.6726, 0.2652),
}


@pytest.mark.parametrize("experts", LUDZIEJEWSKI)
def test_so_many_experts_are_the_additive_law_of_table_4(experts):
    m, mu, n, nu = LUDZIEJEWSKI[experts]
    law = get_law("experts_joint").with_coef(get_law("experts_joint").example)
    expected = value("chinchilla", [N, D], E=1.3637, A=m, alpha=mu, B=n, beta=nu)
    np.testing.assert_allclose(
        law(params=N, tokens=D, experts=experts), expected, rtol=2e-3
    )  # exponents to four digits, at 25 e-folds of tokens
    wrong = value("chinchilla", [N, D], E=1.3637, A=m, alpha=mu * 1.02, B=n, beta=nu)
    assert np.abs(wrong / expected - 1).max() > 5e-3


@pytest.mark.parametrize(("experts", "worth"), [(1, 2.0732), (8, 8.81237), (32, 29.7042)])
def test_experts_count_as_the_paper_says(experts, worth):
    """Size alone with a unit exponent in what experts count as."""
    coef = example("experts_joint", E=0.0, A=1.0, alpha=0.0, delta=1.0, gamma=0.0, B=0.0)
    assert value("experts_joint", [1.0, 1.0, experts], **coef) == pytest.approx(worth, rel=5e-6)


def test_the_best_tokens_per_parameter_of_the_tied_law_are_those_of_gadre():
    best = (1488 / 521) ** (1 / 0.3527)
    assert best == pytest.approx(19.598, abs=6e-4)
    eta = 0.3527 / 2
    law = get_law("over_training").with_coef(
        {"E": 1.87, "a": 521 * 6**eta, "b": 1488 * 6**eta, "eta": eta}
    )
    around = law(tokens_per_param=best * np.array([0.9, 1.0, 1.1]), flops=1e21)
    assert np.argmin(around) == 1


@pytest.mark.parametrize(
    ("params", "learning_rate", "sequences"), [(6.9e9, 4.2e-4, 2304), (67e9, 3.2e-4, 4608)]
)
def test_best_settings_are_products_of_powers(params, learning_rate, sequences):
    """Bi et al. 2024, arXiv:2401.02954: equation 1 gives what its two models were trained with."""
    power = get_law("product", ("flops",))
    flops = 6 * params * 2e12
    rate = power.with_coef({"K": 0.3118, "alpha_flops": 0.125})
    batch = power.with_coef({"K": 0.2920, "alpha_flops": -0.3271})
    assert rate(flops=flops) == pytest.approx(learning_rate, rel=0.03)
    assert batch(flops=flops) == pytest.approx(sequences * 4096, rel=0.05)


def test_the_critical_batch_doubles_both_steps_and_examples():
    law = get_law("batch_trade_off").with_coef({"S_min": 1e4, "B_crit": 1e6})
    batch = np.geomspace(1e4, 1e8, 9)
    steps, examples = law(batch_size=batch), law(batch_size=batch) * batch
    np.testing.assert_allclose((steps / 1e4 - 1) * (examples / 1e10 - 1), 1.0, rtol=1e-9)
    assert law(batch_size=1e6) == 2e4


def test_the_learning_curve_slows_by_the_critical_batch_of_its_own_loss():
    curve = get_law("kaplan_learning_curve").with_coef(CURVE)
    critical = get_law("critical_batch").with_coef({"B_star": 2e8, "rate": 1 / 0.21})
    loss = curve(params=N, steps=1e4, batch_size=5e5)
    clean = 1e4 / (1 + critical(training_loss=loss) / 5e5)
    expected = (CURVE["Nc"] / N) ** CURVE["alpha_N"] + (CURVE["Sc"] / clean) ** CURVE["alpha_S"]
    np.testing.assert_allclose(loss, expected, rtol=1e-12)


def test_more_data_can_hurt_a_model_that_is_quantised():
    law = get_law("quantised").with_coef(QUANTISED)
    tokens = np.geomspace(1e10, 1e14, 40)
    few, many = (np.diff(law(params=1e8, tokens=tokens, precision_bits=b)) for b in (6, 30))
    assert few[0] < 0 < few[-1]
    assert np.all(many < 0)


def test_overfitting_is_possible_only_where_the_law_allows_it():
    epochs = np.geomspace(1, 1e4, 40)
    hurt = get_law("repeated_data_overfit").with_coef(example("repeated_data_overfit", c=1.5))
    loss = hurt(params=1e9, tokens=1e9 * epochs, unique_tokens=1e9)
    assert loss.argmin() not in (0, len(loss) - 1)
    saturating = get_law("repeated_data_overfit").with_coef(example("repeated_data_overfit"))
    assert np.all(np.diff(saturating(params=1e9, tokens=1e9 * epochs, unique_tokens=1e9)) < 0)


def test_optimisers_that_rescale_counts_are_groups_with_common_exponents():
    """Volkova et al. 2026, arXiv:2602.07712: A_o = A rho^-alpha, the rest in common."""
    rho = {"adam": (1.0, 1.0), "other": (1.3, 1.15)}
    law = get_law("chinchilla").with_coef(BASE)
    rng, tables = np.random.default_rng(1), []
    for name, (size, data) in rho.items():
        params, tokens = (np.exp(rng.uniform(np.log(a), np.log(b), 40)) for a, b in
                          [(1e7, 1e10), (1e8, 1e11)])  # fmt: skip
        loss = law(params=params * size, tokens=tokens * data)
        tables.append(
            pd.DataFrame({"params": params, "tokens": tokens, "loss": loss, "optimiser": name})
        )
    runs = pd.concat(tables, ignore_index=True)
    shared = ("E", "alpha", "beta")
    fit = POINT.fit(runs, "chinchilla", group="optimiser", shared=shared)
    coef = {name: fit[name].coef for name in rho}
    for i, (term, rate) in enumerate((("A", "alpha"), ("B", "beta"))):
        ratio = coef["other"][term] / coef["adam"][term]
        assert ratio ** (-1 / coef["adam"][rate]) == pytest.approx(rho["other"][i], rel=1e-5)
