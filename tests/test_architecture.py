"""Shapes of transformers against counts and compute that others published."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_laws.errors import PlanError
from scaling_laws.laws import published
from scaling_laws.laws.registry import get_law
from scaling_laws.planning.costs.architecture import Transformer
from scaling_laws.planning.costs.counting import count_notes, with_embeddings, without_embeddings
from scaling_laws.planning.costs.shapes import ArchitectureCost, ShapeRule

GPT2 = Transformer(12, 768, 12, 64, 3072, 50257, 1024, tied=True, biases=True, positions="learned")
GPT3 = Transformer(
    96, 12288, 96, 128, 49152, 51200, 2048, tied=True, biases=True, positions="learned"
)
LLAMA2_7B = Transformer(32, 4096, 32, 128, 11008, 32000, 4096, gated=True)
LLAMA2_70B = Transformer(80, 8192, 64, 128, 28672, 32000, 4096, key_value_heads=8, gated=True)
LLAMA3_8B = Transformer(32, 4096, 32, 128, 14336, 128256, 8192, key_value_heads=8, gated=True)
MIXTRAL = Transformer(
    32, 4096, 32, 128, 14336, 32000, 32768,
    key_value_heads=8, gated=True, experts=8, active_experts=2,
)  # fmt: skip


# --- parameters ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "params"),
    [
        (GPT2, 124_439_808),
        (LLAMA2_7B, 6_738_415_616),
        (LLAMA2_70B, 68_976_648_192),
        (LLAMA3_8B, 8_030_261_248),
        (MIXTRAL, 46_702_792_704),
    ],
)
def test_parameters_of_released_checkpoints_to_the_last(shape, params):
    assert shape.params() == params


def test_mixtral_uses_13_of_47_billion_a_token():
    """Jiang et al. 2024, arXiv:2401.04088: 47B parameters, 13B active."""
    assert round(MIXTRAL.params() / 1e9) == 47
    assert round(MIXTRAL.active_params() / 1e9) == 13
    assert replace(MIXTRAL, active_experts=8).active_params() == MIXTRAL.params()


@pytest.mark.parametrize(("layers", "width", "vocab"), [(24, 2304, 51200), (96, 12288, 51200)])
def test_parameters_agree_with_the_closed_form_of_megatron(layers, width, vocab):
    """Narayanan et al. 2021, arXiv:2104.04473, eq. 2; it leaves out the last norm, 2 h."""
    context = 2048
    shape = Transformer(
        layers, width, width / 128, 128, 4 * width, vocab, context,
        tied=True, biases=True, positions="learned",
    )  # fmt: skip
    inner = 1 + 13 / (12 * width) + (vocab + context) / (12 * layers * width)
    assert shape.params() - 2 * width == pytest.approx(12 * layers * width**2 * inner, rel=1e-14)


def test_what_embeddings_are():
    assert LLAMA2_7B.params() - LLAMA2_7B.params(embeddings=False) == 2 * 32000 * 4096
    tied = replace(LLAMA2_7B, tied=True)
    assert tied.params() - tied.params(embeddings=False) == 32000 * 4096
    assert GPT2.params() - GPT2.params(embeddings=False) == (50257 + 1024) * 768


# --- compute -------------------------------------------------------------------------------------

TABLE_A4 = [
    ((10, 640, 10, 64, 2560), 73e6, 1.03),
    ((20, 1024, 16, 64, 4096), 305e6, 1.10),
    ((24, 1280, 10, 128, 5120), 552e6, 1.08),
    ((26, 1792, 14, 128, 7168), 1.1e9, 1.04),
    ((28, 2048, 16, 128, 8192), 1.6e9, 1.03),
    ((40, 3584, 28, 128, 14336), 6.8e9, 0.99),
]


@pytest.mark.parametrize(("sizes", "params", "ratio"), TABLE_A4)
def test_table_a4_of_hoffmann(sizes, params, ratio):
    """Their compute over 6ND, reproduced without the embedding and logits that their list has."""
    shape = Transformer(*sizes, 32000, 2048, tied=True, positions="relative")
    assert shape.params() == pytest.approx(params, rel=0.04)
    exact = shape.flops_per_token("chinchilla", embeddings=False)
    assert round(exact / shape.flops_per_token("6ND"), 2) == ratio
    with_both = shape.flops_per_token("chinchilla")
    assert with_both - exact == 3 * 4 * 32000 * shape.width


def test_appendix_f_of_hoffmann_line_by_line():
    layers, d, heads, k, f, V, s = 40, 3584, 28, 128, 14336, 32000, 2048
    attention = 6 * s * d * k * heads + 4 * s * s * k * heads + 3 * heads * s * s
    attention += 2 * s * k * heads * d
    forward = 2 * s * V * d + layers * (attention + 4 * s * d * f) + 2 * s * d * V
    shape = Transformer(layers, d, heads, k, f, V, s)
    assert shape.flops_per_token("chinchilla") == pytest.approx(3 * forward / s, rel=1e-14)


def test_compute_agrees_with_the_closed_form_of_megatron():
    """Narayanan et al. 2021, arXiv:2104.04473, eq. 3, without the forward pass computed again."""
    h, s, V, layers = GPT3.width, GPT3.context, GPT3.vocab_size, GPT3.layers
    formula = 72 * layers * h**2 * (1 + s / (6 * h) + V / (12 * layers * h))
    assert GPT3.flops_per_token("non_causal", embeddings=True) == pytest.approx(formula, rel=1e-14)


def test_kaplan_counts_half_the_attention_matrix():
    """Kaplan et al. 2020, table 1: 6 N + 6 layers context d with N = 12 layers d^2."""
    layers, d, s = 24, 1024, 1024
    shape = Transformer(layers, d, 16, 64, 4 * d, 50257, s)
    assert shape.flops_per_token("kaplan") == 6 * 12 * layers * d**2 + 6 * layers * s * d
    more = shape.flops_per_token("non_causal") - shape.flops_per_token("kaplan")
    assert more == 6 * layers * s * d


def test_training_and_inference_are_three_to_one():
    assert GPT2.training_flops(1e9) == 3 * GPT2.inference_flops(1e9)
    tokens = np.array([1e9, 2e9])
    np.testing.assert_allclose(
        GPT2.training_flops(tokens, "6ND"), 6 * GPT2.params() * tokens, rtol=1e-15
    )


def test_gpt3_trained_with_the_published_compute():
    """Brown et al. 2020, arXiv:2005.14165, table D.1: 3.14e23 FLOP for 300e9 tokens."""
    assert GPT3.training_flops(300e9, "6ND") == pytest.approx(3.14e23, rel=5e-3)


def test_cache_is_smaller_with_grouped_queries():
    assert LLAMA2_7B.cache_bytes_per_token() == 2**19
    all_heads = replace(LLAMA2_70B, key_value_heads=None)
    assert all_heads.cache_bytes_per_token() == 8 * LLAMA2_70B.cache_bytes_per_token()


sizes = st.integers(1, 64)


@given(sizes, sizes, sizes, st.booleans(), st.booleans(), st.integers(1, 8))
def test_conventions_are_ordered(layers, heads, context, gated, tied, experts):
    shape = Transformer(
        layers, heads * 64, heads, 64, heads * 256, 1000, context * 32,
        gated=gated, tied=tied, experts=experts, active_experts=1,
    )  # fmt: skip
    less, more, exact = (
        shape.flops_per_token(c, embeddings=False) for c in ("kaplan", "non_causal", "chinchilla")
    )
    assert less < more < exact
    assert shape.active_params() <= shape.params()
    assert shape.flops_per_token("chinchilla") > exact
    assert replace(shape, context=2 * shape.context).flops_per_token("kaplan") > less


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"layers": 0}, "layers must be positive"),
        ({"width": float("nan")}, "width must be positive"),
        ({"heads": "12"}, "heads must be a positive number"),
        ({"context": True}, "context must be a positive number"),
        ({"vocab_size": [1, 2]}, "vocab_size must be one number"),
        ({"key_value_heads": 13}, "exceeds heads=12"),
        ({"active_experts": 2}, "exceeds experts=1"),
        ({"gated": 1}, "gated must be True or False"),
        ({"positions": "rotary"}, "positions must be one of"),
    ],
)
def test_shapes_that_cannot_be(change, said):
    with pytest.raises(PlanError, match=said):
        replace(GPT2, **change)


def test_unknown_conventions_suggest_the_nearest():
    with pytest.raises(PlanError, match="Did you mean 'chinchilla'"):
        GPT2.flops_per_token("chinchila")
    with pytest.raises(PlanError, match="Known: 6ND"):
        ArchitectureCost(ShapeRule(), "exact")


# --- shapes of every size ------------------------------------------------------------------------

RULES = [
    ShapeRule(),
    ShapeRule(gated=True, tied=True, feed_forward_per_width=8 / 3, queries_per_key=4),
    ShapeRule(biases=True, positions="learned", embeddings=False),
    ShapeRule(experts=8, active_experts=2, positions="relative", key_size=64),
]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("params", [1e6, 1e9, 1e12])
def test_a_rule_hits_the_size_it_is_asked_for(rule, params):
    shape = rule(params)
    assert shape.params(embeddings=rule.embeddings) == pytest.approx(params, rel=1e-12)
    assert shape.width / shape.layers == pytest.approx(rule.width_per_layer, rel=1e-12)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("convention", ["6ND", "kaplan", "non_causal", "chinchilla"])
def test_the_fast_way_of_a_rule_is_the_slow_one(rule, convention):
    params = np.array([[1e7, 3e8], [1e10, 1e7]])
    fast = ArchitectureCost(rule, convention).flops(params, 1e9)
    slow = ArchitectureCost(lambda n: rule(n), convention).flops(params, 1e9)
    np.testing.assert_allclose(fast, slow, rtol=1e-12)
    one = rule(3e8).training_flops(1e9, convention)
    assert fast[0, 1] == pytest.approx(one, rel=1e-12)


def test_attention_adds_context_over_twelve_widths():
    """(6 N + 6 layers context d) / 6 N = 1 + context / (12 d), norms aside."""
    rule = ShapeRule(embeddings=False)
    params = np.array([1e8, 1e10, 1e12])
    over = ArchitectureCost(rule, "kaplan").flops(params, 1.0) / (6 * params)
    width = np.array([rule(float(n)).width for n in params])
    np.testing.assert_allclose(over, 1 + 2048 / (12 * width), rtol=5e-4)
    assert over[0] > 1.15
    assert over[-1] < 1.01


def test_architecture_cost_takes_functions_that_give_shapes():
    with pytest.raises(PlanError, match="function of params"):
        ArchitectureCost(GPT2)
    with pytest.raises(PlanError, match="gave float, not a Transformer"):
        ArchitectureCost(lambda n: n).flops(1e9, 1e9)
    cost = ArchitectureCost(ShapeRule(), "kaplan")
    assert pickle.loads(pickle.dumps(cost)) == cost


# --- what counts as a parameter ------------------------------------------------------------------


def test_pearce_and_song_is_the_rule_of_a_fixed_aspect_ratio():
    """47491 = V (aspect / 12)^(1/3) for V = 32000 and width / layers = 39.2, tied, norms aside."""
    rule = ShapeRule(width_per_layer=39.2, key_size=64, tied=True, embeddings=False)
    without = np.geomspace(1e6, 1e11, 6)
    total = [rule(float(n)).params() for n in without]
    np.testing.assert_allclose(with_embeddings(without), total, rtol=2e-3)


@given(st.floats(1, 1e15), st.floats(1e-3, 1e7))
def test_embeddings_come_off_as_they_went_on(params, omega):
    total = with_embeddings(params, omega)
    assert total > params
    assert without_embeddings(total, omega) == pytest.approx(params, rel=1e-7)


def test_kaplan_and_hoffmann_differ_as_pearce_and_song_say():
    """At Kaplan's sizes embeddings are most of a small model and little of a large one."""
    small = count_notes(published.KAPLAN_2020, 1e6, embeddings=True)
    large = count_notes(published.KAPLAN_2020, 1e9, embeddings=True)
    assert [n.code for n in small + large] == ["count_convention"] * 2
    assert small[0].details["ratio"] == pytest.approx(1 + 47491 * 1e6 ** (-2 / 3), rel=1e-12)
    assert large[0].details["ratio"] < 1.05
    assert count_notes(published.KAPLAN_2020, 1e9, embeddings=False) == []


def test_the_note_uses_the_shape_where_it_is_known():
    (note,) = count_notes(published.HOFFMANN_2022, 6.7e9, embeddings=False, shape=LLAMA2_7B)
    assert note.details["ratio"] == 6_738_415_616 / 6_476_271_616
    assert "without_embeddings" in note.message


def test_nothing_is_said_of_laws_that_do_not_say_what_they_count():
    law = get_law("chinchilla").with_coef(published.HOFFMANN_2022.coef)
    assert count_notes(law, 1e9, embeddings=True) == []
    assert count_notes(law, 1e9, embeddings=False) == []
    with pytest.raises(PlanError, match="params"):
        count_notes(law, -1, embeddings=True)
