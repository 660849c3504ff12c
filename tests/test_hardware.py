"""Machines, memory and batch sizes against published runs, closed forms and simulation."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_laws.errors import PlanError
from scaling_laws.laws.registry import get_law
from scaling_laws.planning.costs.accelerators import SHEETS, get_accelerator, list_accelerators
from scaling_laws.planning.costs.architecture import Transformer
from scaling_laws.planning.costs.cost import Cost, LifetimeCost, get_cost
from scaling_laws.planning.costs.critical_batch import (
    CriticalBatch,
    fit_critical_batch,
    steps_and_compute,
)
from scaling_laws.planning.costs.hardware import Hardware, serving_weight
from scaling_laws.planning.costs.memory import (
    activation_bytes,
    largest_to_serve,
    largest_to_train,
    serving_bytes,
    training_bytes,
)
from scaling_laws.planning.costs.shapes import ShapeRule
from scaling_laws.planning.costs.utilization import Utilization, fit_utilization
from scaling_laws.quantities import training_flops

DAY = 86400
SIX = Cost("6ND")
H100 = get_accelerator("H100-SXM", count=1024, price_per_hour=2.0)


# --- time and money ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "tokens", "count", "speed", "days"),
    [(175e9, 300e9, 1024, 140e12, 34), (1e12, 450e9, 3072, 163e12, 84)],
)
def test_training_times_of_megatron(params, tokens, count, speed, days):
    """Narayanan et al. 2021, arXiv:2104.04473, sec. 5.1: activations recomputed, so 8 N D."""
    machine = Hardware("A100", 312e12, 80e9, count, utilization=speed / 312e12)
    assert machine.seconds(get_cost("8ND").flops(params, tokens)) / DAY == pytest.approx(
        days, abs=1
    )


def test_70b_on_15t_tokens_on_1024_h100():
    """Measured speeds of 1.124e6 to 1.184e6 tokens/s in 16 bit: 147 to 154 days (needs, sec. 4)."""
    days = []
    for speed in (1.184e6, 1.124e6):
        share = 6 * 70e9 * speed / (1024 * 989.4e12)
        assert 0.46 < share < 0.5
        machine = replace(H100, utilization=share)
        assert machine.tokens_per_second(70e9) == pytest.approx(speed, rel=1e-12)
        days.append(machine.seconds(SIX.flops(70e9, 15e12)) / DAY)
    assert days == pytest.approx([146.6, 154.5], abs=0.1)


def test_utilisation_of_llama_3():
    """Grattafiori et al. 2024, arXiv:2407.21783, table 4."""
    peak = get_accelerator("H100-SXM").peak_flops
    for speed, percent in ((430e12, 43), (400e12, 41), (380e12, 38)):
        assert speed / peak * 100 == pytest.approx(percent, abs=0.6)


@given(
    flops=st.floats(1e19, 1e30),
    count=st.integers(1, 10**6),
    share=st.floats(1e-3, 1),
    price=st.floats(1e-3, 1e3),
)
def test_there_and_back(flops, count, share, price):
    machine = Hardware("mine", 1e12, 24e9, count, share, price)
    seconds, hours = machine.seconds(flops), machine.device_hours(flops)
    assert hours == pytest.approx(seconds * count / 3600, rel=1e-12)
    assert machine.dollars(flops) == pytest.approx(hours * price, rel=1e-12)
    assert machine.flops(seconds=seconds) == pytest.approx(flops, rel=1e-12)
    assert machine.flops(dollars=machine.dollars(flops)) == pytest.approx(flops, rel=1e-12)
    assert machine.flops(device_hours=hours) == pytest.approx(flops, rel=1e-12)
    twice = replace(machine, count=2 * count)
    assert twice.seconds(flops) == pytest.approx(seconds / 2, rel=1e-12)
    assert twice.dollars(flops) == pytest.approx(machine.dollars(flops), rel=1e-12)


@pytest.mark.parametrize(
    "share",
    [
        Utilization(0.5, 1e9),
        lambda params: 0.5 * params / (params + 1e9),
        get_law("two_plateau").bind(("params",)).with_coef(
            {"end": 0.5, "start": 0.0, "scale": 1e9, "d": 1.0}
        ),
    ],
    ids=["fitted", "function", "law"],
)  # fmt: skip
def test_utilisation_may_depend_on_size(share):
    machine = replace(H100, utilization=share)
    params = np.array([1e8, 1e9, 1e10])
    expected = 0.5 * params / (params + 1e9)
    np.testing.assert_allclose(machine.share(params), expected, rtol=1e-12)
    flops = SIX.flops(params, 1e13)
    np.testing.assert_allclose(
        machine.seconds(flops, params), flops / (1024 * 989.4e12 * expected), rtol=1e-12
    )
    back = machine.flops(seconds=machine.seconds(flops, params), params=params)
    np.testing.assert_allclose(back, flops, rtol=1e-12)
    with pytest.raises(PlanError, match="depends on params"):
        machine.seconds(1e24)


def test_a_speed_is_not_taken_for_compute():
    for speed in (989.4e12, 1024 * 989.4e12):
        with pytest.raises(PlanError, match="looks like a speed"):
            H100.seconds(speed)
    laptop = Hardware("laptop", 1e11, 16e9)
    assert laptop.seconds(1e9) == pytest.approx(0.025)  # tiny runs on slow machines are real


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"peak_flops": 989.4}, "Write 989e12 for 989 TFLOP/s"),
        ({"peak_flops": "989T"}, r"positive number \[FLOP/s\]"),
        ({"memory": 80}, "Write 80e9 for 80 GB"),
        ({"count": 0}, "count must be positive"),
        ({"count": 1.5}, "whole number"),
        ({"count": True}, "count must be a positive number"),
        ({"utilization": 40}, r"in \(0, 1\], got 40. Did you mean 0.4"),
        ({"utilization": 0.0}, r"in \(0, 1\]"),
        ({"utilization": float("nan")}, r"in \(0, 1\]"),
        ({"utilization": "0.4"}, r"in \(0, 1\]"),
        ({"utilization": True}, r"in \(0, 1\]"),
        ({"utilization": get_law("power").with_coef({"A": 1, "alpha": 0})}, "of 'params' alone"),
        ({"price_per_hour": -1.0}, "price_per_hour must be positive"),
    ],
)
def test_machines_that_cannot_be(change, said):
    with pytest.raises(PlanError, match=said):
        replace(H100, **change)


@pytest.mark.parametrize("wrong", [0, -1e24, np.nan, np.inf, "1e24", True, None, []])
def test_amounts_that_are_none(wrong):
    with pytest.raises(PlanError, match="flops must be"):
        H100.seconds(wrong)
    with pytest.raises(PlanError, match="exactly one" if wrong is None else "seconds must be"):
        H100.flops(seconds=wrong)


def test_questions_that_say_too_little_or_too_much():
    with pytest.raises(PlanError, match="exactly one"):
        H100.flops()
    with pytest.raises(PlanError, match="exactly one"):
        H100.flops(seconds=1.0, dollars=1.0)
    with pytest.raises(PlanError, match="has no price"):
        replace(H100, price_per_hour=None).dollars(1e24)
    with pytest.raises(PlanError, match=r"in \(0, 1\], got 2"):
        replace(H100, utilization=lambda params: params).seconds(1e24, params=2.0)


def test_memory_is_that_of_all_devices_and_holds_what_is_sharded_over_them():
    assert H100.total_memory == 1024 * 80e9
    assert get_accelerator("TPU-v4", count=3).total_memory == 3 * 32 * 2**30
    for count in (1, 8, 64):
        node = replace(H100, count=count)
        size = largest_to_train(node.memory, devices=count, sharded="everything")
        assert 16 * size == pytest.approx(node.total_memory, rel=1e-9)  # Adam: 16 bytes each


def test_machines_are_values():
    assert pickle.loads(pickle.dumps(H100)) == copy.deepcopy(H100) == H100
    assert hash(H100) == hash(replace(H100))


def test_serving_weight_makes_dollars_of_a_lifetime():
    serve = get_accelerator("L40S", "fp8", utilization=0.1, price_per_hour=1.0)
    cost = LifetimeCost(2e12, serving_weight=serving_weight(H100, serve))
    at = {"params": 7e9, "tokens": 1e12}
    whole = H100.dollars(cost.training_flops(**at)) + serve.dollars(cost.served_flops(7e9))
    assert H100.dollars(cost.flops(**at)) == pytest.approx(whole, rel=1e-12)
    assert serving_weight(H100, H100) == 1.0
    with pytest.raises(PlanError, match="has no price"):
        serving_weight(H100, replace(serve, price_per_hour=None))


# --- data sheets ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "units", "per_clock", "clock"),
    [
        ("V100-SXM2-16GB", 80, 1024, 1.53e9),
        ("A100-80GB", 108, 2048, 1.41e9),
        ("H100-SXM", 132, 4096, 1.83e9),
        ("L4", 58, 1024, 2.04e9),
        ("RTX-4090", 128, 512, 2.52e9),
        ("MI250X", 220, 1024, 1.7e9),
        ("MI300X", 304, 2048, 2.1e9),
        ("TPU-v4", 8, 2 * 128 * 128, 1.05e9),
        ("TPU-v5e", 4, 2 * 128 * 128, 1.5e9),
    ],
)
def test_peaks_are_units_times_work_per_clock_times_clock(name, units, per_clock, clock):
    precision = "fp16" if name.startswith("V100") else "bf16"
    peak = get_accelerator(name, precision).peak_flops
    assert peak == pytest.approx(units * per_clock * clock, rel=0.01)


@pytest.mark.parametrize("name", list_accelerators())
def test_every_sheet_makes_a_machine(name):
    peaks = dict(SHEETS[name].peaks)
    for precision, peak in peaks.items():
        machine = get_accelerator(name, precision, count=4)
        assert (machine.peak_flops, machine.count, machine.price_per_hour) == (peak, 4, None)
        assert machine.source
    assert peaks.get("bf16", 0) in (0, peaks.get("fp16", peaks.get("bf16")))
    if "fp8" in peaks:
        assert peaks["fp8"] == pytest.approx(2 * peaks["bf16"], rel=0.02)


def test_names_are_forgiving_but_never_guessed():
    assert get_accelerator("a100 80gb") == get_accelerator("A100-80GB")
    assert get_accelerator("H200").memory == 141e9
    with pytest.raises(PlanError, match="stands for several: A100-40GB, A100-80GB"):
        get_accelerator("A100")
    with pytest.raises(PlanError, match="Known: V100"):
        get_accelerator("abacus")
    with pytest.raises(PlanError, match="unknown accelerator"):
        get_accelerator("")
    with pytest.raises(PlanError, match="no figure for precision 'bf16'"):
        get_accelerator("V100-SXM2-32GB")


# --- utilisation ---------------------------------------------------------------------------------


def simulated(rng, half, noise=0.05, runs=60):
    params = np.exp(rng.uniform(np.log(1e7), np.log(1e11), runs))
    flops, count = 120 * params**2, rng.integers(1, 64, runs)
    share = 0.45 * params / (params + half) * np.exp(noise * rng.standard_normal(runs))
    return {
        "params": params, "flops": flops, "count": count,
        "seconds": flops / (count * 312e12 * share),
    }  # fmt: skip


def test_utilisation_is_recovered_from_noisy_runs():
    rng = np.random.default_rng(0)
    found = [fit_utilization(simulated(rng, 1e9), 312e12) for _ in range(40)]
    limits, halves = (np.array([getattr(f, n) for f in found]) for n in ("limit", "half_params"))
    assert limits.mean() == pytest.approx(0.45, rel=0.01)
    assert np.exp(np.log(halves).mean()) == pytest.approx(1e9, rel=0.03)
    assert np.log(halves).std() < 0.1


def test_utilisation_that_does_not_grow_is_found_constant():
    rng = np.random.default_rng(1)
    found = [fit_utilization(simulated(rng, 0.0), 312e12) for _ in range(40)]
    at_ends = np.array([f(np.array([1e7, 1e11])) for f in found])
    np.testing.assert_allclose(at_ends, 0.45, rtol=0.15)
    assert np.median(np.abs(at_ends / 0.45 - 1)) < 0.02
    one_size = {"params": [1e9, 1e9], "flops": [1e18, 2e18], "seconds": [1e5, 2e5]}
    assert fit_utilization(one_size, 1e14).half_params == 0


def test_utilisation_of_gemstones_is_predicted_better_than_by_a_constant(shared_data):
    """McLeish et al. 2025: seconds a step of 22 models on nodes of four MI250X, each left out."""
    import pandas as pd

    runs = pd.read_csv(shared_data / "gemstones.csv").query("schedule == 'hot'")
    runs = runs.groupby("model").first().reset_index()
    runs["flops"] = training_flops(runs.params, runs.tokens / runs.step)
    runs = runs.rename(columns={"seconds_per_step": "seconds", "num_nodes": "count"})
    peak = 4 * get_accelerator("MI250X").peak_flops
    share = runs.flops / (runs.seconds * runs["count"] * peak)
    assert share.between(0.05, 0.5).all()
    errors = []
    for model in runs.model:
        rest, left = runs[runs.model != model], runs.model == model
        found = fit_utilization(rest, peak)(runs.params[left])
        constant = np.exp(np.log(share[~left]).mean())
        errors.append([np.log(found / share[left]).item(), np.log(constant / share[left]).item()])
    fitted, naive = np.sqrt((np.array(errors) ** 2).mean(axis=0))
    assert fitted < 0.95 * naive


def test_runs_that_are_no_runs():
    runs = {"params": [1e9], "flops": [1e20], "seconds": [1e4]}
    with pytest.raises(PlanError, match="reaches 100 of the peak"):
        fit_utilization(runs, 1e14)
    with pytest.raises(PlanError, match="column 'seconds' is missing"):
        fit_utilization({"params": [1e9], "flops": [1e20]}, 1e16)
    with pytest.raises(PlanError, match="differ in length"):
        fit_utilization({**runs, "params": [1e9, 1e9]}, 1e17)
    with pytest.raises(PlanError, match="flops must be positive"):
        fit_utilization({**runs, "flops": [-1]}, 1e17)
    for wrong in ({"limit": 1.5}, {"limit": "1"}, {"limit": 0.5, "half_params": -1}):
        with pytest.raises(PlanError, match="Utilization"):
            Utilization(**wrong)


# --- memory --------------------------------------------------------------------------------------

GPT3 = Transformer(96, 12288, 96, 128, 49152, 51200, 2048)
MTNLG = Transformer(105, 20480, 128, 160, 81920, 51200, 2048)
STAGES = ("nothing", "optimizer", "gradients", "everything")


def test_figure_1_of_zero():
    """Rajbhandari et al. 2020, fig. 1: 7.5B parameters on 64 devices, 120 to 1.9 GB."""
    found = [training_bytes(7.5e9, devices=64, sharded=s) / 1e9 for s in STAGES]
    assert found == pytest.approx([120, 31.4, 16.6, 1.9], abs=0.05)


@pytest.mark.parametrize(("shape", "saved"), [(GPT3, 0.70), (MTNLG, 0.65)])
def test_attention_recomputed_as_published(shape, saved):
    """Korthikanti et al. 2022, sec. 5: 70 % saved for GPT-3, 65 % for MT-NLG 530B."""
    all_of_it = activation_bytes(shape, 4)
    part = activation_bytes(shape, 4, recomputed="attention")
    assert 1 - part / all_of_it == pytest.approx(saved, abs=0.005)
    assert activation_bytes(shape, 4, recomputed="everything") == part / 17
    layer = 2048 * 4 * (34 * shape.width + 5 * shape.heads * 2048)
    assert all_of_it == shape.layers * layer


@given(
    memory=st.floats(1e9, 1e12), devices=st.integers(1, 4096), stage=st.sampled_from(STAGES),
    reserved=st.floats(0, 0.9e9),
)  # fmt: skip
def test_largest_model_to_train_fills_the_memory(memory, devices, stage, reserved):
    options = {"devices": devices, "sharded": stage}
    params = largest_to_train(memory, reserved=reserved, **options)
    assert training_bytes(params, **options) + reserved == pytest.approx(memory, rel=1e-12)


@given(
    memory=st.floats(1e9, 1e12), bits=st.sampled_from([4, 8, 16]), sequences=st.integers(1, 64),
    group=st.sampled_from([1, 8]),
)  # fmt: skip
def test_largest_model_to_serve_fills_the_memory(memory, bits, sequences, group):
    rule = ShapeRule(queries_per_key=group)
    asked = {"bits": bits, "sequences": sequences, "context": 2048}
    params = largest_to_serve(memory, shape=rule, **asked)
    assert serving_bytes(params, shape=rule(params), **asked) == pytest.approx(memory, rel=1e-9)
    assert params < largest_to_serve(memory, bits=bits)
    fewer = largest_to_serve(memory, shape=rule, **{**asked, "sequences": 2 * sequences})
    assert fewer < params


def test_24_gigabytes_at_8_bit():
    assert largest_to_serve(24e9, bits=8) == 24e9
    assert largest_to_serve(24e9, bits=8, reserved=2e9) == 22e9
    rule = ShapeRule(gated=True, feed_forward_per_width=8 / 3, queries_per_key=8)
    params = largest_to_serve(24e9, bits=8, shape=rule, sequences=16, context=8192)
    cache = 16 * 8192 * rule(params).cache_bytes_per_token()
    assert params + cache == pytest.approx(24e9, rel=1e-9)
    assert 1e10 < params < 1.9e10


def test_memory_that_cannot_be():
    with pytest.raises(PlanError, match="nothing is left"):
        largest_to_train(8e9, reserved=8e9)
    with pytest.raises(PlanError, match="no model fits"):
        largest_to_serve(1e9, shape=lambda params: GPT3)
    with pytest.raises(PlanError, match="need a shape"):
        serving_bytes(7e9, sequences=8)
    with pytest.raises(PlanError, match="sharded must be one of"):
        training_bytes(7e9, sharded="zero")
    with pytest.raises(PlanError, match="recomputed must be one of"):
        activation_bytes(GPT3, recomputed="all")
    for wrong in (-1, "7B", np.nan, True, 0):
        with pytest.raises(PlanError, match="params must be"):
            training_bytes(wrong)
        with pytest.raises(PlanError, match="memory must be"):
            largest_to_serve(wrong)
        with pytest.raises(PlanError, match="devices must be"):
            largest_to_train(8e9, devices=wrong)


# --- batch size ----------------------------------------------------------------------------------


@given(st.floats(1e3, 1e9), st.floats(1e3, 1e9))
def test_steps_and_examples_trade_as_mccandlish_says(batch, critical):
    """(S / S_min - 1) (E / E_min - 1) = 1: McCandlish et al. 2018, eq. 2.11."""
    steps, compute = steps_and_compute(batch, critical)
    assert (steps - 1) * (compute - 1) == pytest.approx(1, rel=1e-6)
    both = CriticalBatch(critical, 1e11)
    assert both.tokens(batch) == pytest.approx(batch * both.steps(batch), rel=1e-9)


@pytest.mark.parametrize("token", [1e-9, 1e-7, 1e-5])
def test_best_batch_size_is_the_cheapest_by_search(token):
    batch = CriticalBatch(2e6, 1e11)
    price = {"seconds_per_step": 3.0, "dollars_per_second": 0.2, "dollars_per_token": token}
    sizes = np.geomspace(1e3, 1e10, 200_001)
    total = 0.2 * 3.0 * batch.steps(sizes) + token * batch.tokens(sizes)
    assert batch.best_batch_size(**price) == pytest.approx(sizes[total.argmin()], rel=1e-4)


def test_more_devices_stop_helping():
    batch = CriticalBatch(1e6, 1e11)
    time = batch.seconds(2.0 ** np.arange(30), batch_per_device=1e4, seconds_per_step=1.0)
    gain = time[:-1] / time[1:]
    assert (np.diff(time) < 0).all()
    assert gain[0] > 1.98
    assert gain[-1] < 1.01
    assert time[-1] > batch.min_steps


def test_critical_batch_is_recovered_from_noisy_steps():
    rng = np.random.default_rng(0)
    size = np.geomspace(1e5, 5e7, 12)
    truth = CriticalBatch(2e6, 1e11)
    found = [
        fit_critical_batch(size, truth.steps(size) * np.exp(0.03 * rng.standard_normal(12)))
        for _ in range(100)
    ]
    critical = np.log([f.critical_batch_size for f in found])
    assert np.exp(critical.mean()) == pytest.approx(2e6, rel=0.02)
    assert critical.std() < 0.1


def test_critical_batches_outside_what_was_tried_are_refused():
    size = np.array([1e5, 1e6, 1e7])
    with pytest.raises(PlanError, match="larger than everything tried"):
        fit_critical_batch(size, 1e12 / size**1.1)
    with pytest.raises(PlanError, match="smaller than everything tried"):
        fit_critical_batch(size, [1e4, 1.1e4, 1.2e4])
    with pytest.raises(PlanError, match="two or more batch sizes"):
        fit_critical_batch([1e6, 1e6], [1e4, 1e4])
    for wrong in (0, np.nan, "2M", True):
        with pytest.raises(PlanError, match="critical_batch_size must be"):
            CriticalBatch(wrong, 1e11)
