"""The command line: the whole path on a table, its messages and its exit codes."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from simulate import grid_runs

import scaling_laws as sl
from scaling_laws.__main__ import main

NAMES = {"params": "N", "tokens": "D", "loss": "val_loss"}
COLUMNS = ",".join(f"{k}={v}" for k, v in NAMES.items())
FAST = ["--draws", "60"]


@pytest.fixture(autouse=True)
def figures_are_not_rendered(monkeypatch):
    """Rendering is slow, and tested elsewhere."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, path, **k: path.touch())


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A CSV with names of its own, in a working directory of its own."""
    monkeypatch.chdir(tmp_path)
    grid_runs(sizes=5, levels=5).rename(columns=NAMES).to_csv("runs.csv", index=False)
    return "runs.csv"


def exact(table):
    """Every digit, as the command line reads it: by default pandas 2 rounds the last ones."""
    return pd.read_csv(table, dtype=str).astype(float)


def test_a_table_with_its_own_names(table, tmp_path, capsys):
    assert main([table, "--columns", COLUMNS, "--budget", "1e24", "--out", "out", *FAST]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "runs inside the 90 % interval" in out
    assert "backtest along flops: mean |error|" in out
    assert "plan for 1e+24 FLOP" in out
    assert "report: out" in out
    assert (tmp_path / "out" / "report.md").is_file()


def test_json_output_is_one_object_with_the_same_numbers(table, capsys):
    argv = [table, "--law", "chinchilla", "--columns", COLUMNS, "--json", "--seed", "3"]
    assert main([*argv, "--level", "0.8", *FAST]) == 0
    found = json.loads(capsys.readouterr().out)
    fit = sl.fit(exact(table), "chinchilla", columns=NAMES, seed=3, draws=60)
    assert found["law"]["coef"] == fit.coef
    assert found["digest"] == fit.digest
    assert found["held_out"]["level"] == 0.8
    assert 0 <= found["held_out"]["inside"] <= found["held_out"]["runs"]
    top = fit.ranges["flops"][1]
    np.testing.assert_allclose(found["plan"]["best"]["flops"], [10 * top, 100 * top])
    assert found["report"].endswith("report.md")


def test_held_out_numbers_are_those_of_a_fit_below_a_tenth_of_the_compute(table, capsys):
    argv = [table, "--law", "chinchilla", "--columns", COLUMNS, "--json"]
    assert main([*argv, *FAST]) == 0
    found = json.loads(capsys.readouterr().out)["held_out"]
    runs = pd.read_csv(table)
    flops = 6 * runs.N * runs.D
    small = sl.fit(runs[flops <= flops.max() / 10], "chinchilla", columns=NAMES, draws=0)
    large = runs[flops > flops.max() / 10]
    error = np.abs(small.law(params=large.N, tokens=large.D) / large.val_loss - 1).mean()
    assert found["runs"] == len(large)
    assert found["error"] == pytest.approx(error, rel=1e-6)


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_other_formats_by_suffix(table, suffix, tmp_path, capsys):
    path = tmp_path / f"runs{suffix}"
    pd.read_csv(table).to_json(path, orient="records", lines=suffix == ".jsonl")
    assert main([str(path), "--columns", COLUMNS, "--draws", "0"]) == 0
    assert "no interval, for lack of bootstrap draws" in capsys.readouterr().out


def test_a_law_of_one_input(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    n = np.geomspace(100, 1e5, 16)
    noise = 0.002 * np.random.default_rng(0).normal(size=16)
    pd.DataFrame({"n": n, "accuracy": 0.9 - n**-0.4 + noise}).to_csv("curve.csv", index=False)
    argv = ["curve.csv", "--law", "power_with_floor", "--inputs", "samples", "--target"]
    assert main([*argv, "accuracy", "--columns", "samples=n", *FAST]) == 0
    out = capsys.readouterr().out
    assert "runs above a tenth of the largest samples" in out
    assert "backtest along samples" in out


def test_few_runs_are_reported_without_a_check(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    grid_runs(sizes=3, levels=3).head(6).to_csv("few.csv", index=False)
    assert main(["few.csv", *FAST]) == 0
    assert "Not checked on held-out runs:" in capsys.readouterr().out


def test_without_a_law_several_are_weighed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runs = grid_runs(sizes=6, levels=6)
    monkeypatch.setattr(sl, "load_dataset", lambda name: {"tiny_lm": runs}[name], raising=False)
    assert main(FAST) == 0
    out = capsys.readouterr().out
    assert "Selection along flops: " in out
    assert out.count("plan for") == 2
    text = (tmp_path / "scaling_laws_report" / "report.md").read_text(encoding="utf-8")
    assert "nats/byte" in text
    assert "## What the intervals are made of" in text
    assert "weighed by backtests" in text


ERRORS = {
    "missing file": (["run.csv"], "no file 'run.csv'. Did you mean 'runs.csv'?"),
    "unknown format": (["notes.txt"], "notes.txt"),
    "missing column": (
        ["runs.csv", "--columns", "params=N,tokens=D,loss=valloss"],
        "'valloss' for 'loss', which is not in the table. Did you mean 'val_loss'? Found: N, D",
    ),
    "unknown law": (["runs.csv", "--law", "chinchila"], "Did you mean 'chinchilla'?"),
    "malformed columns": (["runs.csv", "--columns", "params:N"], "name=value pairs, got 'params"),
    "level in percent": (["runs.csv", "--level", "90"], "Did you mean 0.9?"),
    "impossible draws": (["runs.csv", "--draws", "-1", "--columns", COLUMNS], "draws must be"),
    "empty table": (["empty.csv"], "empty.csv"),
    "folder is a file": (
        ["runs.csv", "--columns", COLUMNS, "--out", "runs.csv", "--draws", "0"],
        "Give the name of a folder",
    ),
    "budget": (["runs.csv", "--columns", COLUMNS, "--budget", "-1", "--draws", "0"], "flops"),
}  # fmt: skip


@pytest.mark.parametrize(("argv", "message"), ERRORS.values(), ids=ERRORS)
def test_errors_are_one_message_and_exit_code_1(argv, message, table, tmp_path, capsys):
    (tmp_path / "empty.csv").write_text("", encoding="utf-8")
    (tmp_path / "notes.txt").write_bytes(b"\x00\x01")
    assert main(argv) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err


USAGE = {
    "not a number": (["--budget", "much"], "argument --budget: invalid float value: 'much'"),
    "unknown command": (["fti", "runs.csv"], "no command 'fti'. Did you mean 'fit'?"),
    "unknown option": (["fit", "runs.csv", "--level", "3"], "unrecognized arguments: --level"),
    "no table": (["fit"], "the following arguments are required: table"),
}


@pytest.mark.parametrize(("argv", "message"), USAGE.values(), ids=USAGE)
def test_wrong_usage_is_exit_code_2(argv, message, table, capsys):
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err


def test_what_fit_and_select_save_is_planned_with(table, capsys):
    assert main(["fit", table, "--columns", COLUMNS, "--save", "fit.json", "--json", *FAST]) == 0
    fit = json.loads(capsys.readouterr().out)
    runs = exact(table)
    law = sl.fit(runs, "chinchilla", columns=NAMES, draws=60)
    assert {n: c["value"] for n, c in fit["coefficients"].items()} == law.coef
    assert fit["runs"] == len(runs)
    assert main(["plan", "fit.json", "--flops", "1e24", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["best"]["params"] == sl.Planner(law).for_budget(flops=1e24).best["params"]
    argv = ["select", table, "--columns", COLUMNS, "--laws", "chinchilla,coupled", "--json"]
    assert main([*argv, "--save", "chosen.json", *FAST]) == 0
    chosen = json.loads(capsys.readouterr().out)
    assert sum(chosen["weights"].values()) == pytest.approx(1)
    assert main(["plan", "chosen.json", "--flops", "1e24", "--limit", "params=1e9"]) == 0
    assert "params" in capsys.readouterr().out


def test_a_table_as_people_write_it_is_read_and_what_was_done_is_said(table, capsys):
    runs = pd.read_csv(table)
    odd = pd.DataFrame(
        {"Model Size": (runs.N / 1e6).map("{:.6f}M".format), "Tokens seen (B)": runs.D / 1e9}
    ).assign(run_id=[f"r{i}" for i in range(len(runs))], step=2, **{"Val/Loss": runs.val_loss})
    pd.concat([odd.assign(step=1, **{"Val/Loss": 9.0}), odd]).to_csv("odd.csv", index=False)
    assert main(["fit", "odd.csv", "--draws", "0"]) == 0
    said = capsys.readouterr().out
    assert "renamed Model Size: params" in said
    assert "text to numbers" not in said
    assert main(["fit", "odd.csv", "--draws", "0", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    law = sl.fit(runs, "chinchilla", columns=NAMES, draws=0)
    assert found["law"]["coef"] == pytest.approx(law.coef, rel=1e-4)
    assert (found["read"]["rows_read"], found["runs"]) == (2 * len(runs), len(runs))


NO_ANSWER = {
    "two questions": (["--flops", "1e22", "--target", "2"], "either a budget (--flops, "),
    "no question": ([], "either a budget (--flops, "),
    "no machine": (["--days", "3"], "seconds: of which machine?"),
    "a limit without machine": (["--target", "2", "--limit", "dollars=9"], "of which machine?"),
    "count of nothing": (["--flops", "1e22", "--count", "8"], "count: of which machine?"),
    "unknown machine": (
        ["--days", "3", "--hardware", "H101"],
        "unknown accelerator 'H101'. Known: V100",
    ),
    "several machines": (["--days", "3", "--hardware", "H100"], "stands for several: H100-SXM"),
    "no price": (["--dollars", "9", "--hardware", "T4"], "--price, in dollars per device"),
    "twice the time": (["--days", "3", "--seconds", "9"], "both wall time"),
    "no time": (["--days", "-3", "--hardware", "H200"], "seconds"),
    "in percent": (
        ["--days", "3", "--hardware", "H200", "--utilization", "40"],
        "Did you mean 0.4",
    ),
    "limit": (["--flops", "1e22", "--limit", "params"], "--limit takes name=value pairs"),
    "limit in words": (["--flops", "1e22", "--limit", "params=7B"], "'params' must hold numbers"),
    "level": (["--flops", "1e22", "--level", "9"], "level"),
    "negative": (["--flops", "-1"], "flops"),
}


@pytest.mark.parametrize(("argv", "message"), NO_ANSWER.values(), ids=NO_ANSWER)
def test_plans_that_cannot_be_made(argv, message, capsys):
    assert main(["plan", "HOFFMANN_2022", *argv, "--json"]) == 1
    out, err = capsys.readouterr()
    assert message in err
    assert message in json.loads(out)["error"]


MACHINE = ["--hardware", "h100-sxm", "--count", "64", "--utilization", "0.35", "--price", "2.5"]
NODE = sl.get_accelerator("H100-SXM", count=64, utilization=0.35, price_per_hour=2.5)


@pytest.mark.parametrize(
    ("argv", "budget"),
    [
        (["--seconds", "86400"], {"seconds": 86400.0}),
        (["--days", "14"], {"seconds": 14 * 86400.0}),
        (["--device-hours", "2000"], {"device_hours": 2000.0}),
        (["--dollars", "20000", "--days", "14"], {"dollars": 20000.0, "seconds": 14 * 86400.0}),
        (["--days", "1", "--days", "7"], {"seconds": [86400.0, 7 * 86400.0]}),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_a_machine_and_what_it_may_cost(argv, budget, capsys):
    assert main(["plan", "HOFFMANN_2022", *argv, *MACHINE, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    plan = sl.Planner(sl.published.HOFFMANN_2022, hardware=NODE).for_budget(**budget)
    assert found == plan.to_dict()
    hours = np.array(found["best"]["device_hours"])
    np.testing.assert_allclose(found["best"]["dollars"], 2.5 * hours)
    flops = hours * 3600 * 0.35 * 989.4e12  # by hand
    np.testing.assert_allclose(found["best"]["flops"], flops, rtol=1e-6)


def test_a_size_on_a_machine_takes_the_tokens_that_the_time_pays_for(capsys):
    argv = ["plan", "HOFFMANN_2022", "--params", "7e9", "--days", "10", *MACHINE, "--json"]
    assert main(argv) == 0
    best = json.loads(capsys.readouterr().out)["best"]
    assert best["params"] == 7e9
    paid = 64 * 0.35 * 989.4e12 * 10 * 86400
    assert best["tokens"] == pytest.approx(paid / (6 * 7e9), rel=1e-6)


def test_a_target_by_friday_says_what_it_costs_or_that_it_cannot_be(capsys):
    argv = ["plan", "HOFFMANN_2022", "--target", "2.2", *MACHINE, "--json"]
    assert main([*argv, "--limit", "seconds=2e6"]) == 0
    best = json.loads(capsys.readouterr().out)["best"]
    assert best["dollars"] == pytest.approx(64 * 2.5 * best["seconds"] / 3600)
    assert main([*argv, "--limit", "seconds=3600"]) == 1
    assert json.loads(capsys.readouterr().out)["nearest"]["seconds"] > 3600


def test_a_source_that_is_neither_file_nor_law(table, capsys):
    assert main(["plan", "HOFFMAN_2022", "--flops", "1e22"]) == 1
    assert "Did you mean 'HOFFMANN_2022'?" in capsys.readouterr().err
    assert main(["plan", table, "--flops", "1e22"]) == 1
    assert "not a saved fit" in capsys.readouterr().err


def test_saving_where_there_is_no_folder_is_a_message(table, capsys):
    argv = ["fit", table, "--columns", COLUMNS, "--draws", "0", "--save", "none/fit.json"]
    assert main(argv) == 1
    assert "none" in capsys.readouterr().err


def test_laws_are_listed_and_shown(capsys):
    assert main(["laws", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [law["name"] for law in found["laws"]] == sl.list_laws()
    assert main(["laws", "HOFFMANN_2022"]) == 0
    assert "alpha = 0.34" in capsys.readouterr().out
    assert main(["laws", "chinchila"]) == 1
    assert "Did you mean 'chinchilla'?" in capsys.readouterr().err


def test_help_is_no_error(capsys):
    assert main(["--help"]) == 0
    assert "select" in capsys.readouterr().out
    assert main(["report", "--help"]) == 0
    assert "--columns" in capsys.readouterr().out
