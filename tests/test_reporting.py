"""The report: its text says what the numbers say, its files are complete, others are left alone."""

from __future__ import annotations

import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from simulate import grid_runs

import scaling_laws as sl
from scaling_laws.fitting.held_out import HeldOut, predict_held_out

FILES = {
    "report.md", "coefficients.csv", "predictions.csv", "held_out.csv", "backtest.csv", "plan.csv",
    "parts.csv",
    "page.png", "fit.png", "contour.png", "frontier.png", "residuals.png", "held_out.png",
    "backtest.png",
}  # fmt: skip


@pytest.fixture(scope="module")
def runs() -> pd.DataFrame:
    table = grid_runs(sizes=5, levels=5)
    return table.assign(flops=6 * table.params * table.tokens)


@pytest.fixture(scope="module")
def fit(runs) -> sl.Fit:
    return sl.fit(runs, "chinchilla", draws=100)


@pytest.fixture(scope="module")
def checked(runs) -> HeldOut:
    small = runs.flops <= runs.flops.max() / 10
    return predict_held_out(sl.fit(runs[small], "chinchilla", draws=100), runs[~small], level=0.8)


@pytest.fixture(scope="module")
def full(runs, fit, checked, tmp_path_factory):
    back = sl.backtest(runs, "chinchilla", along="flops")
    folder = tmp_path_factory.mktemp("reports") / "new" / "one"
    path = sl.report(
        fit, folder, budgets=[1e23, 1e24], backtest=back, held_out=checked, remarks=["Said first."]
    )
    return path, back


@pytest.fixture(autouse=True)
def figures_are_not_rendered(full, monkeypatch):
    """All but the first report, made before this, only touch their figures: rendering is slow."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, path, **k: path.touch())


def table_after(text: str, heading: str) -> list[list[str]]:
    """Cells of the first Markdown table below a heading, header included."""
    below = text.split(f"## {heading}\n", 1)[1].splitlines()
    start = next(i for i, line in enumerate(below) if line.startswith("|"))
    lines = []
    for line in below[start:]:
        if not line.startswith("|"):
            break
        lines.append([cell.strip() for cell in line.strip("|").split("|")])
    return [lines[0], *lines[2:]]


def test_all_files_are_written_and_linked(full):
    path, _ = full
    assert path.name == "report.md"
    assert {p.name for p in path.parent.iterdir()} == FILES
    linked = re.findall(r"!\[[^\]]+\]\((\w+\.png)\)", path.read_text(encoding="utf-8"))
    assert set(linked) == {name for name in FILES if name.endswith(".png")}
    tables = re.findall(r"\[(\w+\.csv)\]\(\1\)", path.read_text(encoding="utf-8"))
    assert set(tables) == {name for name in FILES if name.endswith(".csv")}
    assert plt.get_fignums() == []


def test_tables_of_the_text_are_rectangular(full):
    text = full[0].read_text(encoding="utf-8")
    for heading in ("Data", "Fit", "Held-out runs", "Backtest", "Plan", "Checklist"):
        rows = table_after(text, heading)
        assert len({len(row) for row in rows}) == 1, heading


def test_the_text_states_the_fit(full, fit):
    text = full[0].read_text(encoding="utf-8")
    assert "L(N, D) = E + A N^-alpha + B D^-beta" in text
    assert "Said first." in text
    assert fit.digest in text
    assert f"{fit.starts_agreeing} of {fit.starts} starts" in text
    assert f"R² {fit.r_squared:.5f}" in text
    assert [row[0].strip("`") for row in table_after(text, "Fit")[1:]] == list(fit.coef)
    assert f"scaling_laws {sl.__version__}" in text


def test_the_checklist_says_what_was_done_and_what_nobody_said(full, fit, runs, tmp_path):
    first = dict(table_after(full[0].read_text(encoding="utf-8"), "Checklist"))
    assert first["why this law"] == "chosen by hand; not said why"
    assert first["what is counted"].startswith("not said")
    assert first["cleaning"] == "no log given"
    assert "backtest along flops" in first["validation"]
    assert "inside the 80 % interval" in first["validation"]
    assert first["starts"].startswith(f"{fit.starts}, of which {fit.starts_agreeing} agree")
    cleaned = sl.clean(runs, sl.drop_highest_loss(1))
    tied = sl.fit(cleaned, "chinchilla", draws=0, ties={"beta": "alpha"}, bounds={"E": (0, 2)})
    path = sl.report(tied, tmp_path, why="it is known", counts="no embeddings", cleaning=cleaned)
    told = dict(table_after(path.read_text(encoding="utf-8"), "Checklist"))
    assert told["why this law"] == "it is known"
    assert told["what is counted"].startswith("no embeddings")
    assert told["cleaning"].startswith("drop_highest_loss loss: the 1 highest values")
    assert told["constraints"] == "beta tied to alpha"
    assert "E 0 to 2" in told["bounds"]
    assert told["intervals"] == "none"
    assert told["validation"] == "none: neither a backtest nor held-out runs"


def test_the_tables_hold_the_numbers_of_the_objects(full, fit, checked):
    path, back = full
    read = {name: pd.read_csv(path.with_name(name)) for name in FILES if name.endswith(".csv")}
    np.testing.assert_allclose(read["coefficients.csv"].value, list(fit.coef.values()))
    np.testing.assert_allclose(read["coefficients.csv"].low, fit.interval(0.9).low)
    plan = sl.Planner(fit).for_budget(flops=[1e23, 1e24])
    np.testing.assert_allclose(read["plan.csv"].params, plan.best["params"])
    np.testing.assert_allclose(read["plan.csv"].loss_high, plan.high["loss"])
    np.testing.assert_allclose(read["backtest.csv"].error, back.table.error)
    np.testing.assert_allclose(read["held_out.csv"].predicted, checked.table.predicted)
    measured = read["predictions.csv"].set_index("row").sort_index()
    np.testing.assert_allclose(measured.loss_low, fit.predict(fit.runs.to_frame()).sort_index()
                               .loss_low)  # fmt: skip


def test_the_held_out_check_is_stated_whatever_it_is(full, checked):
    table, text = checked.table, full[0].read_text(encoding="utf-8")
    inside = int(((table.low <= table.actual) & (table.actual <= table.high)).sum())
    error = 100 * np.mean(np.abs(table.predicted / table.actual - 1))
    assert f"Mean |error| {error:.3g} %; {inside} of {len(table)} runs inside the 80 %" in text


def test_a_plan_row_shows_interval_and_near_optimal_range(full):
    header, first, second = table_after(full[0].read_text(encoding="utf-8"), "Plan")
    assert header == [
        "flops", "params", "90 % interval", "near-optimal", "tokens", "90 % interval",
        "near-optimal", "loss", "90 % interval",
    ]  # fmt: skip
    assert (first[0], second[0]) == ("1e+23", "1e+24")
    low, high = map(float, first[2].split(" to "))
    assert low < float(first[1]) < high


def test_without_checks_the_report_says_so_and_plans_10_and_100_times_ahead(fit, tmp_path):
    path = sl.report(fit, tmp_path)
    text = path.read_text(encoding="utf-8")
    assert "No runs were held out." in text
    assert "No backtest was made." in text
    top = fit.ranges["flops"][1]
    np.testing.assert_allclose(pd.read_csv(tmp_path / "plan.csv").flops, [10 * top, 100 * top])


def test_held_out_runs_may_be_given_as_they_are(fit, runs, tmp_path):
    text = sl.report(fit, tmp_path, held_out=runs.tail(3)).read_text(encoding="utf-8")
    assert "of 3 runs inside the 90 % interval" in text
    with pytest.raises(sl.DataError, match=r"lack the target 'loss'\. Found: params"):
        sl.report(fit, tmp_path, held_out=runs.drop(columns="loss"))


@pytest.mark.parametrize(("name", "target"), [("samples", "accuracy"), ("flops", "loss")])
def test_a_law_of_one_input_leaves_out_contour_and_frontier(name, target, tmp_path):
    x = np.geomspace(1e3, 1e6, 12)
    noise = 0.003 * np.random.default_rng(0).normal(size=12)
    y = 0.9 - 3 * x**-0.5 if target == "accuracy" else 2 + 10 * x**-0.3
    fit = sl.fit({name: x, target: y + noise}, "power_with_floor", inputs=(name,), target=target,
                 draws=50)  # fmt: skip
    path = sl.report(fit, tmp_path)
    text = path.read_text(encoding="utf-8")
    assert "Contour and frontier figures are left out" in text
    assert {p.name for p in tmp_path.iterdir()} >= {"fit.png", "residuals.png", "plan.csv"}
    assert not (tmp_path / "contour.png").exists()
    ahead = pd.read_csv(tmp_path / "plan.csv")
    np.testing.assert_allclose(ahead[name], [1e7, 1e8])
    np.testing.assert_allclose(ahead[target], fit.law(**{name: [1e7, 1e8]}))


def test_a_law_of_other_inputs_has_no_plan(tmp_path):
    rng = np.random.default_rng(0)
    runs = pd.DataFrame({"width": rng.choice([64, 128, 256], 30), "depth": rng.choice([2, 4], 30)})
    runs["loss"] = runs.width**-0.1 * runs.depth**-0.2 * np.exp(0.01 * rng.normal(size=30))
    fit = sl.fit(runs, "product", inputs=("width", "depth"), draws=0)
    text = sl.report(fit, tmp_path).read_text(encoding="utf-8")
    assert "No plan:" in text
    assert not (tmp_path / "plan.csv").exists()


def test_notes_are_listed_with_what_was_left_out(runs, tmp_path):
    table = runs.copy()
    table.loc[3, "loss"] = np.nan
    text = sl.report(sl.fit(table, "chinchilla", draws=0), tmp_path).read_text(encoding="utf-8")
    assert "`rows_dropped`: 1 rows with a missing value were left out" in text
    assert ".." not in text


def test_the_unit_may_be_another(fit, tmp_path):
    text = sl.report(fit, tmp_path, unit="nats/byte").read_text(encoding="utf-8")
    assert "test loss [nats/byte]" in text
    assert "nats/token" not in text


def test_a_fit_loaded_without_rows_is_reported_without_figures_of_them(fit, tmp_path):
    fit.save(tmp_path / "fit.json", rows=False)
    text = sl.report(sl.load(tmp_path / "fit.json"), tmp_path / "out").read_text(encoding="utf-8")
    assert "does not hold its rows" in text
    assert not (tmp_path / "out" / "fit.png").exists()
    assert (tmp_path / "out" / "contour.png").exists()


def test_writing_again_replaces_only_its_own_files(fit, tmp_path):
    sl.report(fit, tmp_path)
    (tmp_path / "mine.txt").write_text("kept", encoding="utf-8")
    sl.report(fit, tmp_path)
    assert (tmp_path / "mine.txt").read_text(encoding="utf-8") == "kept"


def test_files_that_no_report_wrote_are_never_replaced(fit, tmp_path):
    (tmp_path / "plan.csv").write_text("mine", encoding="utf-8")
    with pytest.raises(sl.DataError, match=r"already holds plan\.csv, which no report wrote"):
        sl.report(fit, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["plan.csv"]


def test_a_folder_that_cannot_be_is_an_error_with_a_remedy(fit, tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_text("", encoding="utf-8")
    for place in (file, file / "below"):
        with pytest.raises(sl.DataError, match="Give the name of a folder"):
            sl.report(fit, place)

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.write_text", refuse)
    with pytest.raises(sl.DataError, match=r"Permission denied\. Give a folder you may write to"):
        sl.report(fit, tmp_path / "other")


def test_without_draws_no_interval_is_claimed(runs, tmp_path):
    fit = sl.fit(runs, "chinchilla", draws=0)
    text = sl.report(fit, tmp_path, held_out=runs.tail(3)).read_text(encoding="utf-8")
    assert "no interval, for lack of bootstrap draws" in text


def test_a_target_that_crosses_zero_is_scored_by_differences():
    table = pd.DataFrame({"actual": [-1.0, 1.0], "predicted": [-0.5, 1.0], "low": -2.0, "high": 2})
    assert str(HeldOut(table, 0.9)).startswith("mean |error| 0.25; 2 of 2")


def test_a_report_is_of_one_fit(runs, tmp_path):
    selection = sl.select(runs, ["chinchilla"], draws=0)
    with pytest.raises(sl.DataError, match=r"one fit, got Selection\. .*selection="):
        sl.report(selection, tmp_path)
