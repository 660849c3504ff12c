"""Cleaning steps: what each does, that it is recorded, and that published rules are reproduced."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scaling_laws as sl
from scaling_laws.data import cleaning as c
from scaling_laws.data.best_runs import expected_extreme
from scaling_laws.data.cleaning_step import clean
from scaling_laws.data.read_report import read_report
from scaling_laws.data.readers import read_runs


def table(rows=12, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "run": [f"r{i // 3}" for i in range(rows)],
            "step": [100.0 * (1 + i % 3) for i in range(rows)],
            "params": [1e6 * (1 + i // 3) for i in range(rows)],
            "tokens": [2.05e7 * (1 + i // 3) for i in range(rows)],
            "learning_rate": [1e-3 * 2 ** (i % 3) for i in range(rows)],
            "loss": 3 + rng.random(rows),
            "other": 2 + rng.random(rows),
            "achieved_flops": 1e15 * rng.random(rows),
            "flops": 1e15 * rng.random(rows),
            "train_loss": 3 + rng.random(rows),
            "status": ["finished"] * (rows - 1) + ["crashed"],
        }
    )


STEPS = [
    c.min_step(150),
    c.min_step({"r1": 250}),
    c.final_only(),
    c.best_over("learning_rate"),
    c.best_over("learning_rate", method="parabola"),
    c.snap_ratio(),
    c.drop_highest_loss(2),
    c.drop_highest_loss(share=0.25),
    c.average_metrics("loss", "other", weights=[3, 1]),
    c.drop_diverged(),
    c.drop_duplicates(),
    c.prefer_measured("achieved_flops", "flops"),
    c.smooth_metric(window=0.6),
]


@pytest.mark.parametrize("step", STEPS, ids=repr)
def test_every_step_leaves_its_input_alone_and_records_itself(step):
    runs = table()
    before = runs.copy(deep=True)
    out = step(runs)
    pd.testing.assert_frame_equal(runs, before)
    assert runs.attrs == {}
    report = read_report(out)
    assert report.steps[0].action == step.name
    assert report.rows_read + sum(s.rows for s in report.steps) == report.rows_kept == len(out)
    assert json.loads(json.dumps(out.attrs)) == out.attrs
    assert json.loads(json.dumps(dict(step.settings))) == dict(report.steps[0].settings)


@pytest.mark.parametrize("step", STEPS, ids=repr)
def test_every_step_says_which_column_it_lacks(step):
    with pytest.raises(sl.DataError, match=r"needs the column|no known input|no column that tells"):
        step(pd.DataFrame({"x": [1.0]}))


def test_steps_are_piped_chained_and_appended_to_what_the_reader_wrote():
    runs = read_runs(table().to_dict("list"), policy="all")
    one = clean(runs, c.drop_diverged(), c.drop_highest_loss(3))
    two = runs.pipe(c.drop_diverged()).pipe(c.drop_highest_loss(3))
    pd.testing.assert_frame_equal(one, two)
    report = read_report(one)
    assert [s.action for s in report.steps][-2:] == ["drop_diverged", "drop_highest_loss"]
    assert report.rows_read == 12
    assert report.dropped == 4
    with pytest.raises(sl.DataError, match="takes steps such as"):
        clean(runs, c.min_step)


def test_nothing_left_is_an_error():
    with pytest.raises(sl.DataError, match="would leave no row of 12"):
        c.min_step(1e9)(table())


def test_min_step_per_run():
    out = c.min_step({"r1": 250})(table())
    assert out[out.run == "r1"].step.tolist() == [300.0]
    assert len(out) == 10
    with pytest.raises(sl.DataError, match="names the run 'r9'"):
        c.min_step({"r9": 1})(table())


def test_final_only_by_step_flag_and_stage():
    assert c.final_only()(table()).step.tolist() == [300.0] * 4
    flagged = table().assign(is_final=["False", "True", "False"] * 4)
    assert c.final_only()(flagged).step.tolist() == [200.0] * 4
    staged = table().assign(stage=["warmup", "pre-decay", "post-decay"] * 4)
    assert c.final_only(column="stage")(staged).step.tolist() == [300.0] * 4


def test_the_best_over_learning_rates():
    runs = table().drop(columns="status")
    out = c.best_over("learning_rate")(runs)
    assert out.loss.tolist() == runs.groupby("params").loss.min().tolist()
    assert out.tried.tolist() == [3] * 4
    assert read_report(out).notes[0].code == "winners_curse"


def test_a_configuration_that_never_finished_stays_with_its_status():
    runs = pd.DataFrame(
        {
            "params": [1e6, 1e6, 2e6],
            "learning_rate": [1e-3, 2e-3, 1e-3],
            "loss": [3.0, 1.0, np.nan],
            "status": ["ok", "diverged", "diverged"],
        }
    )
    out = c.best_over("learning_rate")(runs)
    assert out.loss.tolist()[0] == 3.0
    assert out.status.tolist() == ["ok", "diverged"]
    assert out.tried.tolist() == [1, 0]


def test_groups_are_not_pooled():
    runs = read_runs(
        {"N": [1e6, 1e6], "corpus": ["x", "y"], "lr": [1e-3, 2e-3], "loss": [3.0, 2.0]},
        group="corpus",
    )
    assert len(c.best_over("learning_rate")(runs)) == 2


@given(st.floats(-9, -4), st.floats(0.01, 1.0), st.floats(1.0, 4.0), st.floats(-0.9, 0.9))
def test_the_parabola_finds_the_vertex_of_a_parabola(centre, curvature, floor, off):
    z = centre + off + np.arange(-2.0, 3.0)
    runs = pd.DataFrame(
        {"params": 1e6, "learning_rate": np.exp(z), "loss": floor + curvature * (z - centre) ** 2}
    )
    out = c.best_over("learning_rate", method="parabola")(runs)
    assert float(np.log(out.learning_rate.iloc[0])) == pytest.approx(centre, abs=1e-6)
    assert out.loss.iloc[0] == pytest.approx(floor, abs=1e-9)


def test_the_bias_of_the_best_is_what_simulation_says_and_one_run_has_none():
    rng = np.random.default_rng(0)
    for count in (2, 3, 5, 10):
        worlds = rng.standard_normal((20_000, count)).min(axis=1)
        assert -worlds.mean() == pytest.approx(expected_extreme(count), abs=0.02)
    assert expected_extreme(1) == 0.0
    published = {2: 0.56419, 5: 1.16296, 10: 1.53875}  # Tippett 1925; Pearson & Hartley
    assert {k: round(expected_extreme(k), 5) for k in published} == published


def test_ratios_far_from_the_plan_stay_and_the_measured_one_is_kept():
    runs = pd.DataFrame({"params": [1e6, 1e6, 1e6], "tokens": [1.96e7, 3e7, np.nan]})
    out = c.snap_ratio(20, 40)(runs)
    assert out.tokens.tolist()[:2] == [2e7, 3e7]
    assert out.tokens_measured.tolist()[:2] == [1.96e7, 3e7]
    assert np.isnan(out.tokens[2])
    assert "2 rows too far" in read_report(out).steps[0].reason


@given(st.lists(st.floats(0.1, 9) | st.none(), min_size=3, max_size=20), st.integers(1, 2))
def test_the_highest_losses_go_and_missing_ones_stay(losses, count):
    runs = pd.DataFrame({"loss": np.array(losses, dtype=float)})
    out = c.drop_highest_loss(count)(runs)
    told = sorted(x for x in losses if x is not None)
    assert sorted(out.loss.dropna()) == told[: max(len(told) - count, 0)]
    assert out.loss.isna().sum() == losses.count(None)


def test_of_scores_the_lowest_go():
    runs = pd.DataFrame({"accuracy": [0.5, 0.9, 0.1]})
    assert c.drop_highest_loss(1, target="accuracy")(runs).accuracy.tolist() == [0.5, 0.9]


def test_a_mean_of_metrics_is_never_of_fewer():
    runs = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, np.nan]})
    out = c.average_metrics("a", "b", weights=[1, 3])(runs)
    assert out.loss.tolist()[0] == 2.5
    assert np.isnan(out.loss[1])
    assert "missing in 1 rows" in read_report(out).steps[0].reason


def test_smoothing_looks_back_only_and_within_a_run():
    runs = pd.DataFrame(
        {"run": ["a", "a", "b"], "step": [96.0, 100.0, 100.0], "train_loss": [3.0, 5.0, 9.0]}
    )
    assert c.smooth_metric(window=0.05)(runs).train_loss.tolist() == [3.0, 4.0, 9.0]


def test_what_was_measured_wins_and_the_gap_is_told():
    runs = pd.DataFrame({"flops": [1e18, 1e19], "achieved_flops": [1.2e18, np.nan]})
    out = c.prefer_measured("achieved_flops", "flops")(runs)
    assert out.flops.tolist() == [1.2e18, 1e19]
    assert "20.0% (median)" in read_report(out).steps[0].reason


@pytest.mark.parametrize(
    "make",
    [
        lambda: c.min_step(-1),
        lambda: c.min_step(float("nan")),
        lambda: c.min_step("5k"),
        lambda: c.drop_highest_loss(),
        lambda: c.drop_highest_loss(1, share=0.1),
        lambda: c.drop_highest_loss(True),
        lambda: c.drop_highest_loss(share=1.5),
        lambda: c.best_over(),
        lambda: c.best_over("a", method="mean"),
        lambda: c.best_over("a", "b", method="parabola"),
        lambda: c.snap_ratio(0),
        lambda: c.snap_ratio(tolerance=-1),
        lambda: c.average_metrics("a"),
        lambda: c.average_metrics("a", "b", weights=[1]),
        lambda: c.average_metrics("a", "b", weights=[1, -1]),
        lambda: c.smooth_metric(window=2.0),
        lambda: c.drop_diverged(above=-1),
    ],
)
def test_settings_are_checked_when_the_step_is_made(make):
    with pytest.raises(sl.DataError):
        make()


# -------------------------------------------------------------------------------- on published data


def test_the_five_runs_that_a_replication_leaves_out(shared_data):
    """Besiroglu et al. 2024: the five highest losses; 240 of 245 rows stay."""
    runs = read_runs(shared_data / "chinchilla_epoch.csv")
    assert len(runs) == 245
    out = c.drop_highest_loss(5)(runs)
    assert len(out) == 240
    assert not out.excluded_by_besiroglu.astype(bool).any()


def test_the_best_rates_of_a_published_sweep(shared_data):
    """Li et al. 2025 keep the minimum over learning rates of every size and budget."""
    source = pd.read_csv(shared_data / "misfitting_lr_sweeps.csv")
    source = source[source.architecture == source.architecture[0]]
    runs = read_runs(source)
    out = c.best_over("learning_rate", by=["params", "tokens"])(c.drop_diverged()(runs))
    finished = source[source.finished & source.loss.notna()]
    by_hand = finished.groupby(["params", "tokens"], sort=False).loss.min()
    assert sorted(out.loss) == pytest.approx(sorted(by_hand))


def test_checkpoints_of_a_published_ladder(shared_data):
    source = pd.read_csv(shared_data / "olmo_ladder.csv")
    runs = read_runs(shared_data / "olmo_ladder.csv")
    assert len(runs) == source.run.nunique()
    last = source.sort_values("step", kind="stable").groupby("run").loss.last()
    assert runs.set_index("run").loss.sort_index().tolist() == pytest.approx(last.tolist())
    everything = read_runs(shared_data / "olmo_ladder.csv", policy="all")
    assert len(everything) == source.loss.notna().sum()


def test_most_shared_tables_are_read_as_they_are_and_the_others_refused_with_a_reason(shared_data):
    read = 0
    for path in sorted(set(shared_data.glob("*.csv")) - {shared_data / "splits.csv"}):
        try:
            frame = read_runs(path, policy="all")
        except sl.DataError as error:
            assert "no column holds the target" in str(error), path.name  # noqa: PT017
            continue
        report = read_report(frame)
        assert report.rows_read + sum(s.rows for s in report.steps) == len(frame), path.name
        read += 1
    assert read >= 22
