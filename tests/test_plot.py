"""Figures: what is drawn, that it equals the numbers, and that nothing outside the axes changes."""

from __future__ import annotations

from types import SimpleNamespace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection, PolyCollection

import scaling_laws as sl
from scaling_laws.plot.style import detached_axes, set_axis

TRUTH = {"E": 1.0, "A": 20.0, "alpha": 0.3, "B": 30.0, "beta": 0.27}


def joint_runs() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    params = np.repeat([2e4, 1e5, 4e5, 1.6e6, 6e6], 6)
    tokens = params * np.tile([5, 10, 20, 40, 80, 160], 5)
    loss = sl.get_law("chinchilla").with_coef(TRUTH)(params=params, tokens=tokens)
    return pd.DataFrame(
        {"params": params, "tokens": tokens, "loss": loss * np.exp(0.004 * rng.normal(size=30))}
    )


@pytest.fixture(scope="module")
def joint() -> sl.Fit:
    return sl.fit(joint_runs(), "chinchilla", draws=100)


@pytest.fixture(scope="module")
def single() -> sl.Fit:
    n = np.repeat([100, 200, 400, 800, 1600, 3200], 2)
    noise = 0.004 * np.random.default_rng(1).normal(size=12)
    runs = {"samples": n, "accuracy": 0.92 - 1.5 * n**-0.45 + noise}
    return sl.fit(runs, "power_with_floor", target="accuracy", inputs=("samples",), draws=100)


@pytest.fixture(scope="module")
def several() -> sl.Fit:
    rng = np.random.default_rng(2)
    runs = pd.DataFrame(
        {
            "tokens": 10 ** rng.uniform(6, 9, 60),
            "width": rng.choice([64, 128, 256], 60),
            "depth": rng.choice([2, 4, 8], 60),
        }
    )
    runs["loss"] = 3 * runs.tokens**-0.05 * runs.depth**-0.1 * np.exp(0.01 * rng.normal(size=60))
    return sl.fit(runs, "product", inputs=("tokens", "width", "depth"), draws=50)


@pytest.fixture
def back() -> SimpleNamespace:
    cut = np.repeat([1e9, 1e10], 5)
    error = np.linspace(-0.04, 0.05, 10)
    rows = pd.DataFrame(
        {"cut": cut, "distance": np.linspace(1.5, 0.5, 10), "actual": 2.0, "error": error}
    )
    return SimpleNamespace(rows=rows, along="flops")


@pytest.fixture
def held_out() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "flops": [1e15, 2e15, 4e15],
            "actual": [2.0, 1.9, 1.8],
            "predicted": [2.02, 1.9, 1.9],
            "low": [1.98, 1.88, 1.85],
            "high": [2.06, 1.92, 1.95],
        }
    )


@pytest.fixture(autouse=True)
def no_figure_left():
    yield
    plt.close("all")


FIGURES = {
    "fit, joint": lambda s, ax: sl.plot.fit(s.joint, ax=ax),
    "fit, joint along tokens": lambda s, ax: sl.plot.fit(s.joint, x="tokens", ax=ax),
    "fit, one input": lambda s, ax: sl.plot.fit(s.single, ax=ax),
    "fit, three inputs": lambda s, ax: sl.plot.fit(s.several, x="depth", ax=ax),
    "frontier of a fit": lambda s, ax: sl.plot.frontier(sl.Planner(s.joint), ratio=20, ax=ax),
    "frontier of a law": lambda s, ax: sl.plot.frontier(
        sl.Planner(sl.published.HOFFMANN_2022), ax=ax
    ),
    "contour of a fit": lambda s, ax: sl.plot.contour(s.joint, ax=ax),
    "contour of a law": lambda s, ax: sl.plot.contour(sl.published.BESIROGLU_2024, ax=ax),
    "residuals": lambda s, ax: sl.plot.residuals(s.joint, ax=ax),
    "residuals on the logit scale": lambda s, ax: sl.plot.residuals(s.single, x="samples", ax=ax),
    "backtest": lambda s, ax: sl.plot.backtest(s.back, ax=ax),
    "predicted": lambda s, ax: sl.plot.predicted(s.held_out, x="flops", ax=ax),
}


@pytest.fixture
def subjects(joint, single, several, back, held_out) -> SimpleNamespace:
    return SimpleNamespace(joint=joint, single=single, several=several, back=back,
                           held_out=held_out)  # fmt: skip


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
def test_every_figure_renders_on_given_axes_and_touches_nothing_else(draw, subjects):
    before, numbers = dict(mpl.rcParams), plt.get_fignums()
    ax = detached_axes(6.4, 4.8)
    assert draw(subjects, ax) is ax
    ax.figure.canvas.draw()  # warnings are errors: layout, fonts, empty limits
    assert plt.get_fignums() == numbers
    assert dict(mpl.rcParams) == before
    assert ax.get_xlabel()
    assert ax.get_ylabel()


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
def test_labels_stay_inside_a_figure_of_one_columns_width(draw, subjects):
    ax = detached_axes(3.4, 2.6)
    draw(subjects, ax)
    ax.figure.canvas.draw()
    frame = ax.figure.bbox
    for axes in ax.figure.axes:
        for label in (axes.xaxis.label, axes.yaxis.label):
            box = label.get_window_extent()
            assert frame.x0 - 1 <= box.x0
            assert box.x1 <= frame.x1 + 1
            assert frame.y0 - 1 <= box.y0
            assert box.y1 <= frame.y1 + 1


def test_without_axes_a_new_pyplot_figure_is_made(single):
    ax = sl.plot.fit(single)
    assert ax.figure.number in plt.get_fignums()
    assert sl.plot.fit(single).figure is not ax.figure


def band_of(ax):
    (band,) = [c for c in ax.collections if isinstance(c, PolyCollection)]
    return band.get_paths()[0].vertices


def test_the_band_of_a_curve_is_that_of_predict(single):
    ax = sl.plot.fit(single, level=0.8)
    solid, dashed = ax.get_lines()
    x = np.unique(np.concatenate([solid.get_xdata(), dashed.get_xdata()]))
    table = single.predict(samples=x, level=0.8)
    assert x.max() == pytest.approx(32000)
    np.testing.assert_allclose(
        np.concatenate([solid.get_ydata(), dashed.get_ydata()[1:]]), table.accuracy
    )
    corners = band_of(ax)
    for column in ("accuracy_low", "accuracy_high"):
        for value in zip(x, table[column], strict=True):
            assert np.isclose(corners, value).all(axis=1).any()
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")
    assert ax.get_ylabel() == "accuracy [fraction]"


def test_a_joint_law_is_drawn_against_compute_with_a_curve_per_size(joint):
    ax = sl.plot.fit(joint)
    *sizes, inside, beyond = ax.get_lines()
    assert len(sizes) == 5
    assert ax.get_xlabel() == "training compute [FLOP]"
    for line, size in zip(sizes, np.unique(joint.runs.column("params")), strict=True):
        flops = line.get_xdata()
        np.testing.assert_allclose(
            line.get_ydata(), joint.law(params=size, tokens=flops / (6 * size))
        )
    assert inside.get_xdata().max() <= joint.ranges["flops"][1] * (1 + 1e-9)
    assert beyond.get_xdata().max() == pytest.approx(10 * joint.ranges["flops"][1])
    plan = sl.Planner(joint).for_budget(flops=beyond.get_xdata()[-1])
    corners = band_of(ax)
    assert beyond.get_ydata()[-1] == pytest.approx(plan.best["loss"])
    for end in (plan.low["loss"], plan.high["loss"]):
        assert np.isclose(corners, [plan.best["flops"], end]).all(axis=1).any()


def test_points_of_a_joint_law_have_the_colour_of_their_size(joint):
    ax = sl.plot.fit(joint)
    (dots,) = [c for c in ax.collections if isinstance(c, PathCollection)]
    np.testing.assert_array_equal(dots.get_array(), joint.runs.column("params"))
    assert ax.figure.axes[-1].get_ylabel() == "model parameters [count]"


def test_many_distinct_sizes_make_at_most_eight_curves():
    rng = np.random.default_rng(3)
    params, tokens = 10 ** rng.uniform(6, 9, 80), 10 ** rng.uniform(8, 10, 80)
    loss = sl.get_law("chinchilla").with_coef(TRUTH)(params=params, tokens=tokens)
    runs = {"params": params, "tokens": tokens, "loss": loss * np.exp(0.01 * rng.normal(size=80))}
    ax = sl.plot.fit(sl.fit(runs, "chinchilla", draws=0))
    assert len(ax.get_lines()) <= 8 + 2


def test_further_inputs_are_held_at_the_median_and_said(several):
    ax = sl.plot.fit(several, x="depth")
    assert "width at the median" in ax.get_ylabel()
    (dots,) = [c for c in ax.collections if isinstance(c, PathCollection)]
    moved = several.law(
        tokens=several.runs.column("tokens"),
        width=np.full(60, np.median(several.runs.column("width"))),
        depth=several.runs.column("depth"),
    )
    np.testing.assert_allclose(dots.get_offsets()[:, 1], moved * np.exp(-several.residuals))


def test_a_fit_without_draws_has_no_band():
    fit = sl.fit(joint_runs(), "chinchilla", draws=0)
    for ax in (sl.plot.fit(fit), sl.plot.frontier(sl.Planner(fit))):
        assert not any(isinstance(c, PolyCollection) for c in ax.collections)
    sl.plot.residuals(fit)


def test_the_frontier_is_the_planners(joint):
    budgets = np.geomspace(1e12, 1e18, 7)
    ax = sl.plot.frontier(sl.Planner(joint, level=0.5), budgets, label="mine", ratio=20)
    plan = sl.Planner(joint, level=0.5).frontier(budgets)
    lines = {line.get_label(): line for line in ax.get_lines()}
    size = lines["mine N*"]
    np.testing.assert_allclose(size.get_ydata(), plan.best["params"][: len(size.get_ydata())])
    bands = [c for c in ax.collections if isinstance(c, PolyCollection)]
    corners = bands[1].get_paths()[0].vertices
    for at, low in zip(budgets, plan.low["tokens"], strict=True):
        assert np.isclose(corners, [at, low], rtol=1e-9, atol=0).all(axis=1).any()
    ratio = lines["20 tokens / parameter"]
    np.testing.assert_allclose(6 * 20 * ratio.get_ydata() ** 2, budgets)
    assert [text.get_text() for text in ax.get_legend().get_texts()][-1] == "measured"


@pytest.mark.parametrize(
    ("ends", "labels"),
    [
        ((1e6, 3e6), ["$10^{6}$", r"$1.5\!\times\!10^{6}$", r"$2\!\times\!10^{6}$"]),
        ((1.9, 3.6), ["2", "2.5", "3", "3.5"]),
        ((0.9, 11.0), ["1", "2", "5", "10"]),
        ((0.02, 1.1), ["0.03", "0.1", "0.3", "1"]),
        ((1.0, 1e4), ["$\\mathdefault{10^{1}}$", "$\\mathdefault{10^{3}}$"]),
    ],
)
def test_short_logarithmic_axes_have_plain_round_numbers(ends, labels):
    ax = detached_axes(3.4, 2.6)
    ax.plot(ends, ends)
    ax.set_xlim(*ends)
    set_axis(ax, "x", "x", log=True)
    ax.figure.canvas.draw()
    shown = [
        tick.label1.get_text()
        for tick in (*ax.xaxis.get_major_ticks(), *ax.xaxis.get_minor_ticks())
        if ends[0] <= tick.get_loc() <= ends[1]
    ]
    assert set(labels) <= set(shown)
    assert sum(bool(text) for text in shown) <= 7


def test_frontiers_on_one_axes_differ_in_colour_and_share_one_shaded_range(joint):
    ax = sl.plot.frontier(sl.Planner(joint), label="mine")
    other = sl.Planner(sl.published.BESIROGLU_2024)
    assert sl.plot.frontier(other, [1e16, 1e22], label="published", ax=ax) is ax
    drawn = {line.get_label(): line.get_color() for line in ax.get_lines()}
    names = ["mine N*", "mine D*", "published N*", "published D*"]
    assert len({drawn[name] for name in names}) == 4
    shown = [text.get_text() for text in ax.get_legend().get_texts()]
    assert sorted(shown) == sorted([*names, "measured"])
    low, high = ax.get_xlim()
    assert low == pytest.approx(joint.ranges["flops"][0])
    assert high == pytest.approx(1e22)


def test_the_contour_shows_runs_budgets_and_the_optimal_path(joint):
    ax = sl.plot.contour(joint, budgets=[1e13, 1e15])
    (dots,) = [c for c in ax.collections if isinstance(c, PathCollection)]
    assert len(dots.get_offsets()) == 30
    assert {t.get_text() for t in ax.texts} == {"$10^{13}$", "$10^{15}$"}
    path = next(line for line in ax.get_lines() if line.get_label() == "compute-optimal")
    best = sl.Planner(joint).for_budget(flops=1e15).best
    assert path.get_xdata()[-1] == pytest.approx(best["params"])
    assert path.get_ydata()[-1] == pytest.approx(best["tokens"])
    iso = [line for line in ax.get_lines() if line.get_linestyle() == "--"]
    for line, budget in zip(iso, [1e13, 1e15], strict=True):
        np.testing.assert_allclose(6 * line.get_xdata() * line.get_ydata(), budget)


@pytest.mark.parametrize("draw", [lambda f: sl.plot.contour(f),
                                  lambda f: sl.plot.frontier(sl.Planner(f))])  # fmt: skip
def test_plans_need_params_and_tokens(draw, single):
    with pytest.raises(sl.PlanError, match=r"law of samples\. Draw it with plot\.fit"):
        draw(single)


def test_residuals_are_percent_of_the_measured(joint):
    ax = sl.plot.residuals(joint)
    (dots,) = [c for c in ax.collections if isinstance(c, PathCollection)]
    fitted = joint.law(params=joint.runs.column("params"), tokens=joint.runs.column("tokens"))
    np.testing.assert_allclose(
        dots.get_offsets(), np.column_stack([fitted, 100 * (fitted / joint.runs.y - 1)])
    )
    assert ax.get_ylabel() == "predicted above measured [%]"
    assert sl.plot.residuals(joint, x="flops").get_xlabel() == "training compute [FLOP]"


def test_the_backtest_shows_every_run_and_the_mean_of_each_cut(back):
    ax = sl.plot.backtest(back)
    (dots,) = [c for c in ax.collections if isinstance(c, PathCollection)]
    assert len(dots.get_offsets()) == 10
    (line,) = ax.get_lines()
    assert sorted(line.get_ydata()) == pytest.approx(
        sorted(100 * np.abs(np.expm1(back.rows.error)).groupby(back.rows.cut).mean())
    )
    assert ax.get_ylim()[0] == 0


def test_predicted_tells_runs_inside_their_interval(held_out):
    ax = sl.plot.predicted(held_out)
    assert ax.get_title() == "inside the interval: 2 of 3"
    assert ax.get_ylabel() == "predicted above measured [%]"
    shown = np.concatenate([line.get_ydata() for line in ax.get_lines()[1:]])
    np.testing.assert_allclose(shown, [1.0, 0.0, 100 * (1.9 / 1.8 - 1)], atol=1e-12)


def test_predictions_of_a_target_that_crosses_zero_are_differences(held_out):
    ax = sl.plot.predicted(held_out - 1.9)
    assert ax.get_ylabel() == "predicted above measured"


def test_impossible_requests_say_what_is_possible(joint, single, held_out, tmp_path):
    with pytest.raises(sl.DataError, match=r"x must be one of .*got 'token'\. Did you mean 'tok"):
        sl.plot.fit(joint, x="token")
    with pytest.raises(sl.DataError, match=r"level must be in \(0, 1\), got 90"):
        sl.plot.fit(single, level=90)
    with pytest.raises(sl.DataError, match=r"lacks the columns \['low'\]"):
        sl.plot.predicted(held_out.drop(columns="low"))
    joint.save(tmp_path / "fit.json", rows=False)
    with pytest.raises(sl.DataError, match="the saved fit left out"):
        sl.plot.fit(sl.load(tmp_path / "fit.json"))
    assert plt.get_fignums() == []


def test_a_frontier_is_of_a_planner():
    plan = sl.Planner(sl.published.HOFFMANN_2022).for_budget(flops=1e21)
    with pytest.raises(sl.PlanError, match=r"got Plan\. Give sl\.Planner"):
        sl.plot.frontier(plan)
