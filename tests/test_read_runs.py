"""Runs from every kind of log: the same table, and a report in which every row is accounted for."""

from __future__ import annotations

import sys
import types

import import_shapes as shapes
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from import_shapes import accounted, csv_file

import scaling_laws as sl
from scaling_laws.data.aliases import ALIASES, match_column
from scaling_laws.data.numerals import parse_number
from scaling_laws.data.read_report import read_report
from scaling_laws.data.readers import read_runs

CORE = ["run", "params", "tokens", "loss", "learning_rate"]
TRUTH = pd.DataFrame(
    {
        "run": list(shapes.RUNS),
        "params": list(shapes.PARAMS.values()),
        "tokens": list(shapes.TOKENS.values()),
        "loss": list(shapes.LOSS.values()),
        "learning_rate": list(shapes.RATE.values()),
    }
)


def core(frame):
    table = frame[CORE].sort_values("run", ignore_index=True)
    return table.astype({"run": object})


def codes(frame):
    return [note.code for note in read_report(frame).notes]


# --------------------------------------------------------------------------- the same runs, always


@pytest.mark.parametrize("write", shapes.SHAPES, ids=lambda f: f.__name__)
def test_every_shape_gives_the_same_table(write, tmp_path):
    source, options = write(tmp_path)
    frame = read_runs(source, **options)
    pd.testing.assert_frame_equal(
        core(frame), TRUTH.astype({"run": object}), check_dtype=False, rtol=1e-12
    )
    assert accounted(frame)
    assert read_report(frame).dropped == 0
    assert "status" not in frame or set(frame.status) <= {"ok", "finished"}


@pytest.mark.parametrize("write", shapes.SHAPES, ids=lambda f: f.__name__)
def test_every_shape_is_recognised_as_what_it_is(write, tmp_path):
    source, options = write(tmp_path)
    known = {"plain": "table", "json_lines": "table", "json_columns": "table",
             "tracker_metrics": "wandb_runs", "wandb_api": "wandb_runs"}  # fmt: skip
    found = read_report(read_runs(source, **options)).format
    assert found == known.get(write.__name__, write.__name__)


def test_a_table_read_by_pandas_first_is_the_same(tmp_path):
    for write in (shapes.plain, shapes.mlflow, shapes.wandb_runs):
        source, options = write(tmp_path)
        frame = read_runs(pd.read_csv(source), **options)
        pd.testing.assert_frame_equal(
            core(frame), TRUTH.astype({"run": object}), check_dtype=False, rtol=1e-12
        )


def test_a_history_read_by_pandas_first_is_the_same(tmp_path):
    files, _ = shapes.wandb_history(tmp_path)
    table = pd.concat([pd.read_csv(f).assign(run=f.stem) for f in files], ignore_index=True)
    frame = read_runs(table, constants={r: {"params": shapes.PARAMS[r]} for r in shapes.RUNS})
    pd.testing.assert_frame_equal(
        core(frame), TRUTH.astype({"run": object}), check_dtype=False, rtol=1e-12
    )


def test_the_table_fits_as_it_is(tmp_path):
    truth = sl.published.BESIROGLU_2024
    grid = pd.DataFrame(sl.grid(n=[1e7, 3e7, 1e8, 3e8], d=[1e9, 4e9, 16e9]))
    grid["val_loss"] = truth(params=grid.n, tokens=grid.d)
    grid.columns = ["Model Size", "D", "val_loss"]
    path = tmp_path / "grid.csv"
    grid.to_csv(path, index=False)
    fit = sl.fit(read_runs(path), "chinchilla", draws=0)
    assert fit.coef["alpha"] == pytest.approx(truth.coef["alpha"], rel=1e-4)


def test_learning_curve_of_scikit_learn():
    selection = pytest.importorskip("sklearn.model_selection")
    from sklearn.datasets import load_iris
    from sklearn.tree import DecisionTreeClassifier

    X, y = load_iris(return_X_y=True)
    curve = selection.learning_curve(
        DecisionTreeClassifier(random_state=0), X, y, train_sizes=[30, 60, 90], cv=4,
        shuffle=True, random_state=0, return_times=True,
    )  # fmt: skip
    frame = read_runs(curve, target="accuracy")
    assert len(frame) == 12
    assert frame.groupby("samples").accuracy.mean().tolist() == pytest.approx(curve[2].mean(axis=1))
    assert frame.seconds.tolist() == curve[3].ravel().tolist()
    wrong = read_runs(curve, target="error")
    assert (wrong.error + frame.accuracy).tolist() == pytest.approx([1.0] * 12)
    with pytest.raises(sl.DataError, match="target='accuracy'"):
        read_runs(curve)


def test_a_size_that_failed_stays_with_its_status():
    curve = ([10, 20], [[1.0, 1.0]] * 2, [[np.nan, np.nan], [0.5, 0.7]])
    frame = read_runs(curve, target="accuracy")
    assert frame.status.tolist() == ["failed", "failed", "ok", "ok"]
    assert accounted(frame)


def test_event_files_need_tbparse_and_its_table_is_read(tmp_path, monkeypatch):
    (tmp_path / "events.out.tfevents.1.host").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "tbparse", None)
    with pytest.raises(sl.DataError, match="pip install tbparse"):
        read_runs(tmp_path)

    class SummaryReader:  # the columns its documentation lists
        def __init__(self, path, extra_columns):
            assert extra_columns == {"dir_name"}
            rows = [
                (r, s, "eval/loss", shapes.loss_at(r, s)) for r in shapes.RUNS for s in (0, 1000)
            ]
            rows += [(r, 1000, "lr", shapes.RATE[r]) for r in shapes.RUNS]
            rows += [(r, 1000, "tokens", shapes.TOKENS[r]) for r in shapes.RUNS]
            self.scalars = pd.DataFrame(rows, columns=["dir_name", "step", "tag", "value"])

    module = types.ModuleType("tbparse")
    module.SummaryReader = SummaryReader
    monkeypatch.setitem(sys.modules, "tbparse", module)
    constants = {r: {"params": shapes.PARAMS[r]} for r in shapes.RUNS}
    frame = read_runs(tmp_path, constants=constants)
    pd.testing.assert_frame_equal(core(frame), TRUTH.astype({"run": object}), check_dtype=False)


def test_scalars_downloaded_from_tensorboard(tmp_path):
    path = csv_file(tmp_path, "Wall time,Step,Value\n1.7e9,0,4.0\n1.7e9,50,3.0\n", "run-a.csv")
    frame = read_runs(path, constants={"params": 1e6})
    assert frame[["run", "step", "params", "loss"]].values.tolist() == [["run-a", 50.0, 1e6, 3.0]]


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    path = tmp_path / "runs.parquet"
    path.write_bytes(b"PAR1xxxxPAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(sl.DataError, match="pip install pyarrow"):
        read_runs(path)


def test_parquet(tmp_path):
    try:
        import pyarrow  # noqa: F401
    except ImportError:  # missing, or too new for this NumPy
        pytest.skip("needs pyarrow")
    path = tmp_path / "runs.parquet"
    pd.DataFrame({"N": [1, 2], "D": [3, 4], "loss": [3.0, None]}).to_parquet(path)
    assert read_runs(path).params.tolist() == [1.0, 2.0]
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(sl.DataError, match="Parquet"):
        read_runs(path)


# ----------------------------------------------------------------- 27: histories and their sampling


def sampled(rows=500, every=3):
    return pd.DataFrame({"_step": np.arange(rows) * every, "loss": np.linspace(4, 3, rows)})


def test_a_sampled_history_is_told():
    note = read_report(read_runs(sampled())).notes[0]
    assert (note.code, note.severity) == ("history_sampled", "warning")
    assert "scan_history" in note.message


@pytest.mark.parametrize("table", [sampled(499), sampled(501), sampled(500, every=1)])
def test_a_whole_history_is_not(table):
    assert "history_sampled" not in codes(read_runs(table))


def test_metrics_of_different_steps_are_not_joined_away():
    """An inner join of these has no row at all."""
    table = pd.DataFrame(
        {
            "_step": [0, 5, 10, 15, 20],
            "tokens": [0.0, np.nan, 1e6, np.nan, 2e6],
            "eval/loss": [np.nan, 4.0, np.nan, 3.0, np.nan],
            "acc": [0.1, np.nan, 0.2, np.nan, 0.3],
        }
    )
    assert not table.dropna().shape[0]
    every = read_runs(table, policy="all")
    assert every.loss.tolist() == [4.0, 3.0]
    assert every.tokens.tolist() == [0.5e6, 1.5e6]  # between the records around them
    assert every.accuracy.tolist() == [0.1, 0.2]  # known by then; 0.3 is of the future
    assert read_runs(table).loss.tolist() == [3.0]


@given(
    st.lists(st.tuples(st.booleans(), st.floats(1, 9)), min_size=1, max_size=30),
    st.sampled_from(["final", "last_mean", "best", "all"]),
)
def test_no_value_of_the_target_is_lost_or_invented(cells, policy):
    table = pd.DataFrame(
        {
            "_step": range(len(cells)),
            "val_loss": [v if told else None for told, v in cells],
            "tokens": [None if told else 1e6 * (i + 1) for i, (told, _) in enumerate(cells)],
        }
    )
    told = [v for logged, v in cells if logged]
    if not told:
        with pytest.raises(sl.DataError, match="no usable value"):
            read_runs(table, policy=policy)
        return
    frame = read_runs(table, policy=policy, last=2)
    wanted = {"final": told[-1:], "best": [min(told)], "all": told,
              "last_mean": [np.mean(told[-2:])]}[policy]  # fmt: skip
    assert frame.loss.tolist() == pytest.approx(wanted)
    assert accounted(frame)


def test_two_values_at_one_step_are_counted():
    table = pd.DataFrame({"_step": [0, 0, 1], "loss": [5.0, 4.0, 3.0]})
    frame = read_runs(table, policy="all")
    assert frame.loss.tolist() == [4.0, 3.0]
    assert any("two values" in s.reason for s in read_report(frame).steps)


def test_rows_of_one_step_in_a_table_that_is_no_log_are_not_merged():
    table = pd.DataFrame({"run": "a", "step": 9, "domain": ["code", "web"], "loss": [2.0, 3.0]})
    assert read_runs(table).loss.tolist() == [2.0, 3.0]


def test_checkpoints_without_a_run_are_kept_and_doubted():
    table = pd.DataFrame({"params": 1e6, "step": [1, 2], "loss": [4.0, 3.0]})
    frame = read_runs(table)
    assert len(frame) == 2
    assert codes(frame) == ["runs_not_named"]


def test_groups_keep_runs_of_one_name_apart():
    table = pd.DataFrame(
        {"run": "a", "corpus": ["x", "x", "y"], "step": [1, 2, 1], "loss": [4.0, 3.0, 2.0]}
    )
    frame = read_runs(table, group="corpus")
    assert frame[["corpus", "loss"]].values.tolist() == [["x", 3.0], ["y", 2.0]]
    with pytest.raises(sl.DataError, match="Did you mean 'corpus'"):
        read_runs(table, group="korpus")


# ------------------------------------------------------------------------------ 28: text and gaps


def test_parameters_as_text_become_numbers_and_missing_ones_stay_missing():
    table = pd.DataFrame(
        {
            "run_id": ["a", "b", "c"],
            "metrics.loss": [3.0, 2.9, 2.8],
            "params.n_params": ["1000000", "2M", None],
            "params.tokens": ["1e9", None, "2,000"],
            "params.optimizer": ["adam", None, "adam"],
        }
    )
    frame = read_runs(table)
    assert frame.params.tolist()[:2] == [1e6, 2e6]
    assert np.isnan(frame.params[2])
    assert np.isnan(frame.tokens[1])
    assert frame.tokens[2] == 2000
    assert frame.optimizer.isna().tolist() == [False, True, False]


def test_text_that_is_no_number_is_a_clear_error_or_counted():
    table = pd.DataFrame({"params": ["1M", "large", "=A1*2"], "loss": [3.0, 2.9, 2.8]})
    frame = read_runs(table)
    assert frame.params.isna().tolist() == [False, True, True]
    note = read_report(frame).notes[0]
    assert note.code == "cells_unreadable"
    assert "row 1: 'large'" in note.message
    with pytest.raises(sl.DataError, match=r"column 'params' must hold numbers.*'large'"):
        read_runs(table, strict=True)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("210M", 210e6), ("1.5B", 1.5e9), ("3e-4", 3e-4), ("1,000", 1000.0), ("32.0K", 32e3),
        ("11%", 0.11), ("1.5 B tokens", 1.5e9), ("2T", 2e12), ("1,234,567.5", 1234567.5),
        ("1.2\u00d710^9", 1.2e9), ("3 PFLOP", 3e15),
        ("2 PF-days", 2 * 1e15 * 86400), ("\u22125", -5.0),
        ("1\u202f000", 1000.0), ("7 billion", 7e9),
        ("1,5", None), ("10,00", None), ("1 2", None), ("=1+1", None), ("#REF!", None),
        ("0x10", None), ("1.2.3", None), ("1e999", None), ("7 bananas", None), ("2026-01-01", None),
    ],
)  # fmt: skip
def test_numbers_as_people_write_them(text, value):
    assert parse_number(text) == (pytest.approx(value, rel=1e-15) if value is not None else None)


@given(st.floats(1e-300, 1e300), st.sampled_from(["", "K", "M", "B", "T"]))
def test_suffixes_multiply(value, suffix):
    factor = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}[suffix]
    wanted = value * factor
    read = parse_number(f"{value!r}{suffix}")
    assert read == (wanted if np.isfinite(wanted) else None)


@given(st.integers(-(10**15), 10**15))
def test_thousands_separators_change_nothing(value):
    assert parse_number(f"{value:,}") == float(value)


def test_decimal_commas_are_told_apart_from_thousands(tmp_path):
    assert read_runs(csv_file(tmp_path, "N;loss\n1000;2,51\n2000;2,5\n")).loss.tolist() == [
        2.51,
        2.5,
    ]
    with pytest.raises(sl.DataError, match="decimal=','"):
        read_runs(csv_file(tmp_path, "N;loss\n1000;2,513\n2000;2,501\n"))
    path = csv_file(tmp_path, "N;loss\n1000;2,513\n2000;2,501\n")
    assert read_runs(path, decimal=",").loss.tolist() == [2.513, 2.501]


def test_units_in_headers_and_as_said(tmp_path):
    text = "Model Size (M),tokens_billions,total_petaflops,loss\n10,2,120,3.0\n"
    frame = read_runs(csv_file(tmp_path, text))
    assert frame[["params", "tokens", "flops"]].values.tolist() == [[1e7, 2e9, 1.2e17]]
    frame = read_runs(
        csv_file(tmp_path, "N,D,loss\n10,2,3.0\n"), units={"params": "M", "tokens": 1e9}
    )
    assert frame[["params", "tokens"]].values.tolist() == [[1e7, 2e9]]
    with pytest.raises(sl.DataError, match="positive number or a suffix"):
        read_runs(csv_file(tmp_path, "N,loss\n10,3.0\n"), units={"params": "bananas"})


def test_percentages_are_not_guessed():
    table = {"samples": [10, 20], "accuracy": [81.5, 90.0]}
    with pytest.raises(sl.DataError, match=r"units=\{'accuracy': 0.01\}"):
        read_runs(table, target="accuracy")
    assert read_runs(table, target="accuracy", units={"accuracy": 0.01}).accuracy[1] == 0.9


# -------------------------------------------------- 29: runs that did not finish, and doubled ones


def test_runs_that_did_not_finish_stay_with_status_and_out_of_the_fit():
    truth = sl.published.HOFFMANN_2022
    table = pd.DataFrame(sl.grid(params=[1e7, 1e8, 1e9, 1e10], tokens=[1e9, 1e10, 1e11, 1e12]))
    table["loss"] = truth(params=table.params, tokens=table.tokens)
    table["State"] = "finished"
    table.loc[[1, 4], "State"] = ["crashed", "Running"]
    table.loc[1, "loss"] = 9.0
    table.loc[7, "loss"] = np.inf
    frame = read_runs(table)
    assert len(frame) == 16
    assert frame.status[[1, 4, 7]].tolist() == ["crashed", "running", "diverged"]
    kept = next(s for s in read_report(frame).steps if s.action == "kept")
    assert kept.count == 3
    fit = sl.fit(frame, "chinchilla", draws=0)
    assert next(n for n in fit.notes if n.code == "unfinished_runs").details == {
        "crashed": 1, "diverged": 1, "running": 1,
    }  # fmt: skip
    assert fit.coef["E"] == pytest.approx(truth.coef["E"], rel=1e-3)
    assert len(read_runs(table, status="finished")) == 13
    assert len(read_runs(table, status=["crashed", "finished"])) == 14


def test_a_blank_loss_is_missing_and_a_nan_is_a_diverged_run(tmp_path):
    frame = read_runs(csv_file(tmp_path, "N,loss\n1M,3.0\n2M,NaN\n3M,\n4M,inf\n"))
    assert frame.loss.isna().tolist() == [False, True, True, True]
    assert frame.status.fillna("").tolist() == ["ok", "diverged", "", "diverged"]


def test_a_history_that_ends_in_nan_has_diverged(tmp_path):
    text = "_step,lr,loss\n0,1e-3,4.0\n1,,3.5\n2,1e-3,NaN\n"
    frame = read_runs(csv_file(tmp_path, text))
    assert frame.status.tolist() == ["diverged"]
    assert np.isnan(frame.loss[0])
    every_cell_told = "_step,lr,loss\n0,1e-3,4.0\n1,NaN,3.5\n2,1e-3,NaN\n"
    assert read_runs(csv_file(tmp_path, every_cell_told)).loss.tolist() == [3.5]


def test_two_metrics_of_a_chart_do_not_make_a_run_diverge(tmp_path):
    text = "Step,a - eval/loss,a - train/loss\n0,4.0,3.9\n9,3.0,\n12,,2.8\n"
    frame = read_runs(csv_file(tmp_path, text))
    assert frame[["step", "loss"]].values.tolist() == [[9.0, 3.0]]
    assert "status" not in frame


@pytest.mark.parametrize("as_frame", [False, True])
def test_a_single_value_that_is_nan_was_logged(as_frame, tmp_path):
    text = (
        "run_id,key,step,value\na,loss,0,4.0\na,loss,5,NaN\na,lr,5,0.1\nb,loss,0,4.0\nb,lr,9,.1\n"
    )
    path = csv_file(tmp_path, text)
    frame = read_runs(pd.read_csv(path) if as_frame else path)
    assert frame[["run", "step", "status"]].values.tolist() == [
        ["a", 5.0, "diverged"],
        ["b", 0.0, "ok"],
    ]


def test_columns_that_say_diverged_or_finished():
    table = pd.DataFrame({"params": [1e6, 2e6], "loss": [3.0, 2.0], "diverged": [False, True]})
    assert read_runs(table).status.tolist() == ["ok", "diverged"]
    table = pd.DataFrame({"params": [1e6, 2e6], "loss": [3.0, 2.0], "finished": ["True", "False"]})
    assert read_runs(table).status.tolist() == ["ok", "unfinished"]


def test_duplicates_are_reported():
    table = pd.DataFrame(
        {"run": ["a", "a", "b", "c"], "N": [1e6] * 4, "loss": [3.0, 3.0, 3.0, 2.9]}
    )
    frame = read_runs(table)
    assert frame.run.tolist() == ["a", "b", "c"]  # the very row twice goes; a second name stays
    assert codes(frame) == ["duplicate_runs"]
    assert read_report(frame).dropped == 1
    unnamed = read_runs(table.drop(columns="run"))
    assert len(unnamed) == 4
    assert codes(unnamed) == ["duplicate_runs"]


# --------------------------------------------------------------- 30: one function for the residuals


def test_residuals_and_r_squared_come_from_the_inputs_of_the_table(tmp_path):
    """By hand from (N, D), and from one library function."""
    runs = sl.load_dataset("tiny_lm")
    path = tmp_path / "tiny.csv"
    runs.rename(columns={"params": "N", "tokens": "D"}).to_csv(path, index=False)
    frame = read_runs(path)
    fit = sl.fit(frame, "chinchilla", draws=0)
    residuals = sl.diagnose(fit).residuals
    by_hand = fit.law(params=residuals.params.to_numpy(), tokens=residuals.tokens.to_numpy())
    assert residuals.predicted.to_numpy() == pytest.approx(by_hand, rel=1e-9)
    metrics = pytest.importorskip("sklearn.metrics")
    found, y = sl.diagnose(fit).r_squared, residuals.loss
    assert found["linear"] == pytest.approx(metrics.r2_score(y, by_hand), rel=1e-12)
    assert found["log"] == pytest.approx(metrics.r2_score(np.log(y), np.log(by_hand)), rel=1e-12)
    assert fit.r_squared == pytest.approx(found["linear"], rel=1e-9)


# ------------------------------------------------------------------------------------- which column


def test_a_training_loss_is_never_taken_unasked():
    table = pd.DataFrame({"N": [1e6, 2e6], "train_loss": [3.0, 2.9]})
    with pytest.raises(sl.DataError, match="only if you say so"):
        read_runs(table)
    assert read_runs(table, columns={"loss": "train_loss"}).loss.tolist() == [3.0, 2.9]


def test_a_held_out_loss_wins_over_a_bare_one_and_says_so():
    frame = read_runs(pd.DataFrame({"N": [1e6], "loss": [3.0], "eval/loss": [3.2]}))
    assert frame.loss.tolist() == [3.2]
    assert codes(frame) == ["target_chosen"]


def test_of_several_validation_sets_none_is_picked():
    table = pd.DataFrame({"N": [1e6], "eval/c4/loss": [3.0], "eval/pile/loss": [2.0]})
    with pytest.raises(sl.DataError, match=r"eval/c4/loss, eval/pile/loss.*averaged"):
        read_runs(table)
    mean = read_runs(table, columns={"loss": ["eval/c4/loss", "eval/pile/loss"]})
    assert mean.loss.tolist() == [2.5]


def test_the_target_may_be_among_the_columns_that_are_averaged():
    table = {"N": [1e6], "loss": [3.0], "other_loss": [2.0]}
    frame = read_runs(table, columns={"loss": ["loss", "other_loss"]})
    assert frame[["loss", "loss_as_found", "other_loss"]].values.tolist() == [[2.5, 3.0, 2.0]]


def test_the_run_may_be_the_group():
    frame = read_runs({"run": ["a", "a"], "step": [1, 2], "loss": [4.0, 3.0]}, group="run")
    assert frame[["run", "loss"]].values.tolist() == [["a", 3.0]]


def test_rows_above_the_header_are_counted(tmp_path):
    frame = read_runs(csv_file(tmp_path, "Sweep\n1e6,9e9,3.1\nN,D,loss\n1e6,2e9,3.0\n"))
    assert frame.loss.tolist() == [3.0]
    assert read_report(frame).dropped == 1


def test_embeddings_in_and_out_are_not_confused():
    frame = read_runs(pd.DataFrame({"N": [2e6], "N_no_emb": [1e6], "loss": [3.0]}))
    assert frame[["params", "params_non_embedding"]].values.tolist() == [[2e6, 1e6]]


def test_no_alias_belongs_to_two_quantities():
    names = [alias for aliases in ALIASES.values() for alias in aliases]
    assert len(names) == len(set(names))
    for name, aliases in ALIASES.items():
        assert {match_column(a).name for a in aliases} == {name}


def test_mapped_columns_must_exist():
    with pytest.raises(sl.DataError, match="Did you mean 'size'"):
        read_runs({"size": [1e6], "loss": [3.0]}, columns={"params": "sise"})
    with pytest.raises(sl.DataError, match="no column holds the input 'tokens'"):
        read_runs({"N": [1e6], "loss": [3.0]}, inputs=["params", "tokens"])


def test_constants_must_belong_to_a_run():
    table = pd.DataFrame({"run": ["a"], "loss": [3.0]})
    with pytest.raises(sl.DataError, match="names the run 'aa'"):
        read_runs(table, constants={"aa": {"params": 1e6}})
    with pytest.raises(sl.DataError, match="which is a number"):
        read_runs(table, constants={"params": "1M"})


# ------------------------------------------------------------------------------------ wrong numbers


def test_integers_do_not_overflow():
    table = pd.DataFrame({"N": np.array([70_000_000_000]), "D": np.array([10**13]), "loss": [2.0]})
    frame = read_runs(table)
    assert float((6 * frame.params * frame.tokens).iloc[0]) == pytest.approx(4.2e24)


def test_an_overflow_that_happened_is_told():
    n, d = np.array([70_000_000_000, 10**6]), np.array([1_400_000_000_000, 10**9])
    table = pd.DataFrame({"params": n, "tokens": d, "flops": 6 * n * d, "loss": [2.0, 3.0]})
    assert table.flops[0] != 6 * 7e10 * 1.4e12
    frame = read_runs(table)
    assert set(codes(frame)) & {"values_invalid", "flops_disagree"}


def test_compute_in_another_unit_is_doubted():
    table = {"params": [1e6, 2e6], "tokens": [1e9, 1e9], "flops": [6e6, 12e6], "loss": [3.0, 2.9]}
    assert codes(read_runs(table)) == ["flops_disagree"]
    table["flops"] = [6e15, 12e15]
    assert codes(read_runs(table)) == []


def _logged(tokens, policy):
    """Ten losses of one run, and its tokens at some steps, the last after all losses."""
    log = pd.DataFrame({"run": "a", "step": np.arange(11.0), "params": 1e6})
    log["loss"] = np.where(log.step < 10, 4 - 0.1 * log.step, np.nan)
    log["tokens"] = log.step.map(tokens)
    return sl.read_runs(log, target="loss", policy=policy)


@pytest.mark.parametrize("tokens", [{10: 1e9}, {7: 7e8}, {7: 7e8, 10: 1e9}])
def test_a_counter_is_not_known_before_its_first_record(tokens):
    found = _logged(tokens, "all")
    first = min(*tokens, 9)
    assert found.tokens.isna().tolist() == (found.step < first).tolist()
    assert found.tokens[found.step == first].tolist() == [next(iter(tokens.values()))]
    (step,) = (s for s in found.attrs["read_report"]["steps"] if s["action"] == "missing")
    assert (step["what"], step["count"]) == ("tokens", first)


@pytest.mark.parametrize("policy", ["final", "last_mean", "best"])
def test_a_total_logged_once_at_the_end_is_that_of_the_run(policy):
    assert _logged({10: 1e9}, policy).tokens.tolist() == [1e9]


def test_a_count_that_never_grows_holds_throughout():
    assert _logged({5: 1e9, 10: 1e9}, "all").tokens.tolist() == [1e9] * 10
