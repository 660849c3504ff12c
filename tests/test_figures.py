"""Figures of every result: their numbers are those of the objects, their looks those on file."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from types import SimpleNamespace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from simulate import grid_runs

import scaling_laws as sl
from scaling_laws.plot.style import detached_axes

BASELINE = Path(__file__).parent / "baseline"
MATPLOTLIB = "3.11"  # that the baseline images were drawn with
PIXELS = (320, 240)
TRUTH = sl.published.HOFFMANN_2022


@pytest.fixture(scope="module")
def s() -> SimpleNamespace:
    """One of everything that is drawn."""
    runs = grid_runs(sizes=5, levels=5)
    fit = sl.fit(runs, "chinchilla", draws=100, law_error=False)
    n = np.repeat([100.0, 200, 400, 800, 1600, 3200], 3)
    rng = np.random.default_rng(1)
    curves = {
        name: {"samples": n, "accuracy": top - scale * n**-0.45 + 0.004 * rng.normal(size=18)}
        for name, top, scale in (("a", 0.92, 1.5), ("b", 0.88, 1.1))
    }
    fits = {
        name: sl.fit(table, "power_with_floor", target="accuracy", inputs=("samples",), draws=60,
                     law_error=False)
        for name, table in curves.items()
    }  # fmt: skip
    study = sl.isoflop_grid([1e18, 1e19, 1e20], law=TRUTH)
    study["loss"] = TRUTH(params=study.params, tokens=study.tokens)
    size = np.repeat([1e7, 2e7, 4e7, 8e7, 1.6e8], 40)
    checkpoints = pd.DataFrame({"run": size, "params": size})
    checkpoints["tokens"] = size * np.tile(np.geomspace(2, 200, 40), 5)
    checkpoints["loss"] = TRUTH(params=size, tokens=checkpoints.tokens)
    rounds = pd.DataFrame({"runs": [4, 8], "spent": [1e18, 4e18], "width": [0.2, 0.1]})
    return SimpleNamespace(
        runs=runs,
        fit=fit,
        planner=sl.Planner(fit),
        at=float(10 * fit.ranges["flops"][1]),
        single=fits["a"],
        curve=pd.DataFrame(curves["a"]),
        both=sl.compare(fits, pooling="apart"),
        study=study,
        isoflop=sl.fit_isoflop(study, draws=100),
        checkpoints=checkpoints,
        envelope=sl.fit_envelope(checkpoints),
        factors=sl.factors(fit, at={"params": 1e9, "tokens": 1e10}),
        selection=sl.select(runs, ["chinchilla", "coupled"], focuses=(0.0,), draws=50),
        growth=SimpleNamespace(rounds=rounds, budget=5e18, cost_unit="FLOP", source=fit),
        chosen=sl.next_runs(
            fit, {"params": [1e9, 4e9], "tokens": [4e10, 8e10]},
            at={"params": 1e10, "tokens": 1e11}, batch=2,
        ),
        verified=sl.verify(
            sl.Planner(fit).for_budget(flops=1e22),
            lambda params, tokens: TRUTH(params=params, tokens=tokens),
        ),
        recipe=sl.get_law("learning_rate_batch").with_coef(
            sl.get_law("learning_rate_batch").example
        ),
    )  # fmt: skip


SECTION = {
    "at": {"params": 1e9, "tokens": 2e10},
    "ranges": {"learning_rate": (1e-4, 1e-2), "batch_size": (1e5, 1e7)},
}
REPEATED = {"params": 1e9, "unique_tokens": 1e10}
FIGURES = {
    "backtest": lambda s: (s.back,),
    "coefficients": lambda s: (s.fit,),
    "compare": lambda s: (s.both,),
    "contour": lambda s: (s.fit,),
    "crossing": lambda s: (s.both,),
    "envelope": lambda s: (s.envelope, s.checkpoints),
    "factors": lambda s: (s.factors,),
    "fit": lambda s: (s.fit,),
    "frontier": lambda s: (s.planner,),
    "growth": lambda s: (s.growth,),
    "isoflop": lambda s: (s.isoflop, s.study),
    "laws": lambda s: (s.selection,),
    "learning_curve": lambda s: (s.single,),
    "marginal": lambda s: (s.planner, {"flops": s.at}),
    "next_runs": lambda s: (s.chosen,),
    "noise": lambda s: (s.single, {"x": "samples"}),
    "parts": lambda s: (s.fit,),
    "predicted": lambda s: (s.held_out, {"x": "flops"}),
    "regret": lambda s: (s.planner, [s.at, 10 * s.at]),
    "repetition": lambda s: (sl.published.MUENNIGHOFF_2023_REPEATED, REPEATED),
    "residuals": lambda s: (s.fit,),
    "runs": lambda s: (s.curve, {"x": "samples", "y": "accuracy"}),
    "section": lambda s: (s.recipe, "learning_rate", "batch_size", SECTION),
    "sensitivity": lambda s: (s.planner, {"flops": s.at}),
    "trade_off": lambda s: (s.planner, {"flops": s.at}),
    "verification": lambda s: (s.verified,),
}


@pytest.fixture(scope="module")
def subjects(s) -> SimpleNamespace:
    rows = pd.DataFrame(
        {"cut": np.repeat([1e9, 1e10], 5), "distance": np.linspace(1.5, 0.5, 10), "actual": 2.0,
         "error": np.linspace(-0.04, 0.05, 10)}
    )  # fmt: skip
    s.back = SimpleNamespace(rows=rows, along="flops")
    s.held_out = pd.DataFrame(
        {"flops": [1e15, 2e15], "actual": [2.0, 1.9], "predicted": [2.02, 1.8],
         "low": [1.98, 1.78], "high": [2.06, 1.85]}
    )  # fmt: skip
    return s


def arguments(name: str, subjects: SimpleNamespace) -> tuple[list, dict]:
    """Positional and keyword arguments of a figure; a mapping at the end is keywords."""
    *given, last = FIGURES[name](subjects)
    if isinstance(last, dict):
        return list(given), last
    return [*given, last], {}


def test_every_figure_is_listed_and_has_its_table():
    figures = [n for n in sl.plot.__all__ if not n.endswith("_table") and n != "page"]
    assert sorted(FIGURES) == sorted(figures)
    for name in figures:
        drawn = inspect.signature(getattr(sl.plot, name)).parameters
        table = inspect.signature(getattr(sl.plot, f"{name}_table")).parameters
        assert list(table) == [p for p in drawn if p in table], name
        assert drawn["ax"].default is None


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_draws_within_a_column_and_returns_its_axes(name, subjects):
    given, keywords = arguments(name, subjects)
    before, open_figures = dict(mpl.rcParams), plt.get_fignums()
    ax = detached_axes(3.3, 2.6)
    assert getattr(sl.plot, name)(*given, **keywords, ax=ax) is ax
    ax.figure.canvas.draw()  # warnings are errors
    assert (dict(mpl.rcParams), plt.get_fignums()) == (before, open_figures)
    frame = ax.figure.bbox
    for axes in ax.figure.axes:
        shown = [axes.xaxis.label, axes.yaxis.label, axes.title]
        legend = [axes.get_legend()] if axes.get_legend() else []
        for text in [t for t in shown if t.get_text() and axes.axison] + legend:
            box = text.get_window_extent()
            assert frame.x0 - 2 <= box.x0, text
            assert box.x1 <= frame.x1 + 2, text
            assert frame.y0 - 2 <= box.y0, text
            assert box.y1 <= frame.y1 + 2, text
    compare_with_baseline(name, ax)


def compare_with_baseline(name: str, ax) -> None:
    """Hold the picture, less its text, against the one on file: both blurred, by mean square
    relative to its ink.

    With WRITE_BASELINE=1 in the environment, put it on file first; look at it before committing.
    """
    path = BASELINE / f"{name}.png"
    if not mpl.__version__.startswith(f"{MATPLOTLIB}."):
        return
    shown = picture(ax)
    if os.environ.get("WRITE_BASELINE"):
        plt.imsave(path, shown)
    on_file = plt.imread(path)[..., :3]
    assert shown.shape == on_file.shape
    apart, ink = blurred(shown) - blurred(on_file), 1.0 - blurred(on_file)
    distance = np.sqrt(np.mean(apart**2) / np.mean(ink**2))
    assert distance < 0.1, f"{name} is {distance:.3f} from {path.name}"


def picture(ax) -> np.ndarray:
    """Pixels (240, 320, 3) of a figure without its text, whose fonts differ between machines."""
    from matplotlib.text import Text

    figure = ax.figure
    figure.set_layout_engine("none")
    figure.set_size_inches(3.2, 2.4)
    figure.set_dpi(100)
    for text in figure.findobj(Text):
        text.set_visible(False)
    for axes in figure.axes:
        if axes.get_legend():
            axes.get_legend().set_visible(False)
    ax.set_position((0.1, 0.1, 0.65, 0.75))
    for i, axes in enumerate(figure.axes[1:]):
        axes.set_position((0.8 + 0.1 * i, 0.1, 0.05, 0.75))
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3] / 255.0


def blurred(pixels: np.ndarray) -> np.ndarray:
    """Means of blocks of 8 by 8 pixels."""
    rows, columns = pixels.shape[0] // 8, pixels.shape[1] // 8
    return pixels.reshape(rows, 8, columns, 8, 3).mean(axis=(1, 3))


def test_a_wrong_picture_is_told_from_the_one_on_file(subjects, monkeypatch):
    monkeypatch.delenv("WRITE_BASELINE", raising=False)
    if not mpl.__version__.startswith(f"{MATPLOTLIB}."):
        pytest.skip(f"baseline images are of matplotlib {MATPLOTLIB}")
    ax = sl.plot.residuals(subjects.fit, x="params", ax=detached_axes(3.3, 2.6))
    with pytest.raises(AssertionError, match="residuals is"):
        compare_with_baseline("residuals", ax)


# --- the numbers are those of the objects -------------------------------------------------------


def test_isoflop_parabolas_pass_through_the_minima_and_the_runs(subjects):
    table = sl.plot.isoflop_table(subjects.isoflop, subjects.study)
    for flops, rows in table[table.part == "parabola"].groupby("flops"):
        best = table[(table.part == "minimum") & (table.flops == flops)].iloc[0]
        assert rows.loss.min() == pytest.approx(best.loss, rel=1e-4)
        runs = table[(table.part == "run") & (table.flops == flops)]
        on_curve = np.interp(np.log(runs.params), np.log(rows.params), rows.loss)
        np.testing.assert_allclose(on_curve, runs.loss, rtol=3e-3)
    assert set(table.part) <= {"run", "unused run", "parabola", "minimum"}


def test_the_corrected_minimum_stands_beside_its_parabola(subjects):
    found = sl.fit_isoflop(subjects.study, corrected=True, draws=0)
    table = sl.plot.isoflop_table(found, subjects.study)
    flops, bias = found.table.flops[1], found.table.bias[1]
    curve = table[(table.part == "parabola") & np.isclose(table.flops, flops)]
    lowest = curve.params.iloc[int(np.argmin(curve.loss.to_numpy()))]
    assert np.log(lowest / found.table.params[1]) == pytest.approx(bias, abs=0.06)


def test_curves_of_marginal_gain_cross_at_the_best_size(subjects):
    best = subjects.planner.for_budget(flops=subjects.at).best["params"]
    table = sl.plot.marginal_table(subjects.planner, flops=subjects.at, params=[best])
    assert table.gain[0] == pytest.approx(table.gain[1], rel=1e-3)


def test_the_trade_off_costs_nothing_at_the_best(subjects):
    law = sl.Planner(subjects.fit, anchor=False)
    best = law.for_budget(flops=subjects.at).best["params"]
    table = sl.plot.trade_off_table(law, values=[0.5 * best, best], flops=subjects.at)
    assert table.overhead[1] == pytest.approx(0.0, abs=1e-6)
    assert table.overhead[0] > 0.01


def test_a_rule_far_from_the_best_is_regretted_more_than_the_plan(subjects):
    table = sl.plot.regret_table(subjects.planner, [subjects.at], ratios=[2000])
    assert table["mean"][1] > 3 * table["mean"][0]


def test_a_higher_size_exponent_alone_wants_smaller_models(subjects):
    """N* of the Hoffmann law falls with alpha, and does not depend on E (their eq. 4)."""
    table = sl.plot.sensitivity_table(subjects.planner, flops=subjects.at)
    assert table.alone_low["alpha"] > table.alone_high["alpha"]
    assert table.alone_low["beta"] < table.alone_high["beta"]
    assert table.alone_low["E"] == pytest.approx(table.alone_high["E"], rel=1e-9)
    together = np.abs(np.log(table.together_high / table.together_low))
    alone = np.abs(np.log(table.alone_high / table.alone_low))
    assert together["alpha"] < alone["alpha"]


def test_parts_add_up_in_squares(subjects):
    table = sl.plot.parts_table(subjects.fit)
    squares = sum(table[p] ** 2 for p in ("coefficients", "candidates", "law", "run"))
    np.testing.assert_allclose(table.total**2, squares)


def test_noise_of_repeats_is_that_which_was_simulated(subjects):
    n = np.repeat([100.0, 400, 1600, 6400], 200)
    y = (1.0 + 20 * n**-0.5) * np.exp(np.random.default_rng(5).normal(0, 0.02, len(n)))
    fit = sl.fit({"samples": n, "loss": y}, "power_with_floor", inputs=("samples",), draws=0)
    table = sl.plot.noise_table(fit, x="samples")
    assert table.runs.tolist() == [200] * 4
    assert ((table.low < 2.0) & (table.high > 2.0)).sum() >= 3
    np.testing.assert_allclose(table.assumed, 2.0, rtol=0.1)


def test_the_goal_of_a_learning_curve_is_the_planners(subjects):
    ax = sl.plot.learning_curve(subjects.single, goal=0.9, ax=detached_axes(3.3, 2.6))
    plan = sl.Planner(subjects.single).for_target(0.9)
    mark = next(line for line in ax.get_lines() if line.get_marker() == "D")
    assert mark.get_xdata()[0] == pytest.approx(plan.best["samples"])
    ax = sl.plot.learning_curve(subjects.single, goal=0.999, ax=detached_axes(3.3, 2.6))
    assert ax.get_title().startswith("0.999 is out of reach")


def test_crossings_are_marked_where_the_comparison_has_them(subjects):
    ax = sl.plot.crossing(subjects.both, ax=detached_axes(3.3, 2.6))
    at = subjects.both.crossing().crossing[0]
    assert np.isfinite(at)
    marks = [line.get_xdata()[0] for line in ax.get_lines() if line.get_linestyle() == ":"]
    assert marks == [pytest.approx(at)]


def test_fresh_tokens_are_never_worse_than_repeated(subjects):
    law = sl.published.MUENNIGHOFF_2023_REPEATED
    table = sl.plot.repetition_table(law, **REPEATED)
    assert table.loss[0] == pytest.approx(table.loss_fresh[0])
    assert (table.loss >= table.loss_fresh - 1e-12).all()


def test_a_page_has_six_figures_for_a_law_of_two_inputs(subjects):
    figure = sl.plot.page(subjects.fit)
    assert len([ax for ax in figure.axes if ax.get_subplotspec() and ax.has_data()]) >= 5
    assert len(sl.plot.page(subjects.single).axes) >= 5


def test_impossible_figures_say_what_is_possible(subjects):
    s = subjects
    with pytest.raises(sl.PlanError, match="draws laws of one input"):
        sl.plot.learning_curve(s.fit)
    with pytest.raises(sl.PlanError, match="what must be 'overhead' or 'excess'"):
        sl.plot.trade_off(s.planner, what="cost", flops=s.at)
    with pytest.raises(sl.PlanError, match=r"repetition needs a law of \['params'"):
        sl.plot.repetition(TRUTH, **REPEATED)
    with pytest.raises(sl.PlanError, match="'param' is no input"):
        sl.plot.section(TRUTH, "param", "tokens")
    with pytest.raises(sl.PlanError, match="needs a fit with draws"):
        sl.plot.sensitivity(sl.Planner(TRUTH), flops=1e21)
    with pytest.raises(sl.DataError, match="no coefficient 'alfa'"):
        sl.plot.coefficients(s.fit, ["alfa"])
    with pytest.raises(sl.DataError, match="no two runs share their inputs"):
        sl.plot.noise(sl.fit(grid_runs(), "chinchilla", draws=0))
    with pytest.raises(sl.DataError, match="no column 'widht'"):
        sl.plot.runs(s.curve, x="samples", y="widht")
    assert plt.get_fignums() == []
