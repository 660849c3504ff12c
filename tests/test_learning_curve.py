"""Learning curves: scores against scikit-learn, splits that do not leak, runs that survive."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scaling_laws as sl
from scaling_laws.measurement.folds import splits
from scaling_laws.measurement.learning_curve import learning_curve
from scaling_laws.measurement.scoring import Answers, get_scores

DROPPED = ["fit_seconds", "predict_seconds", "latency", "seconds", "cpu_seconds", "peak_memory"]


class Memory:
    """A nearest neighbour in one dimension, that remembers what it was given."""

    def __init__(self, power=1.0, fail_below=0):
        self.power, self.fail_below = power, fail_below

    def fit(self, X, y):
        if len(y) < self.fail_below:
            raise ValueError(f"{len(y)} samples are too few")
        self.X, self.y = np.asarray(X), y

    def predict(self, X):
        return self.y[np.abs(np.asarray(X)[:, None] - self.X).argmin(axis=1)]


def problem(n=300, seed=0):
    x = np.random.default_rng(seed).uniform(size=n)
    return x, (x > 0.4).astype(int)


# ------------------------------------------------------------------------------------ splits


@given(
    st.integers(12, 80),
    st.one_of(st.integers(2, 8), st.floats(0.1, 0.9), st.none()),
    st.sampled_from(["plain", "stratify", "groups", "time"]),
    st.integers(0, 1000),
)
def test_splits_partition_and_keep_their_promise(n, cv, kind, seed):
    values = np.random.default_rng(seed).integers(0, 10, size=n)
    values[:10] = np.arange(10)
    options = {} if kind == "plain" else {kind: values}
    found = splits(n, cv, **options, seed=seed)
    for train, test in found:
        assert not np.isin(train, test).any()
        assert len(train)
        assert len(test)
        if kind == "groups":
            assert not np.isin(values[train], values[test]).any()
        if kind == "time":
            assert values[train].max() <= values[test].min()
        else:
            assert len(train) + len(test) == n
        if kind == "stratify":
            for label in np.unique(values):
                share = len(test) * np.mean(values == label)
                assert abs(np.sum(values[test] == label) - share) < 2 + 1e-9
    if isinstance(cv, int) and kind != "time":
        assert sorted(np.concatenate([test for _, test in found])) == list(range(n))
    again = splits(n, cv, **options, seed=seed)
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(found, again, strict=True))


def test_alternating_classes_reach_every_fold():
    labels = np.arange(40) % 2
    assert all(labels[test].mean() == 0.5 for _, test in splits(40, 2, stratify=labels))


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        (1, "number of folds in"),
        (31, "number of folds in"),
        (True, "number of folds in"),
        (0.0, "number of folds in"),
        (float("nan"), "number of folds in"),
        (0.001, "leaves one side empty"),
        ("kfold", "is not a split"),
        ([], "no splits"),
        ([(np.arange(5), np.arange(4, 9))], "trains on"),
        ([(np.arange(5), [40])], "different indices"),
        ([(np.arange(5), [7.5])], "different indices"),
        ([3], "not a pair"),
    ],
)
def test_splits_that_cannot_be_made(cv, message):
    with pytest.raises(sl.MeasureError, match=message):
        splits(30, cv)


def test_too_few_groups_for_the_folds():
    with pytest.raises(sl.MeasureError, match="2 groups are too few for 3 folds"):
        splits(10, 3, groups=np.arange(10) % 2)


# ------------------------------------------------------------------------------------ scores


class Told:
    """Answers what it was told."""

    def __init__(self, predicted, probabilities=None, classes=None):
        self.predicted, self.probabilities = predicted, probabilities
        if classes is not None:
            self.classes_ = classes

    def predict(self, X):
        return self.predicted

    def predict_proba(self, X):
        return self.probabilities


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("labels", [int, str])
def test_scores_are_those_of_scikit_learn(classes, labels):
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(classes)
    for _ in range(20):
        true = rng.integers(0, classes, 60).astype(labels)
        likely = rng.dirichlet(np.ones(classes), 60).round(2)
        likely /= likely.sum(axis=1, keepdims=True)
        above = np.maximum(likely, 1e-15)
        above /= above.sum(axis=1, keepdims=True)  # to the last digit, as scikit-learn 1.4 asks
        predicted = likely.argmax(axis=1).astype(labels)
        known = np.unique(np.arange(classes).astype(labels))
        answers = Answers(Told(predicted, likely, known), None, true, predicted, known)
        average = {"average": "binary", "pos_label": known[1]} if classes == 2 else {}
        average = average or {"average": "macro", "zero_division": 0}
        expected = {
            "accuracy": metrics.accuracy_score(true, predicted),
            "error": metrics.zero_one_loss(true, predicted),
            "balanced_accuracy": metrics.balanced_accuracy_score(true, predicted),
            "precision": metrics.precision_score(true, predicted, **average),
            "recall": metrics.recall_score(true, predicted, **average),
            "f1": metrics.f1_score(true, predicted, **average),
            "loss": metrics.log_loss(true, above, labels=known),
        }
        if classes == 2:
            expected["roc_auc"] = metrics.roc_auc_score(true == known[1], likely[:, 1])
        for score in get_scores(list(expected)):
            assert score.function(answers) == pytest.approx(expected[score.name], abs=1e-9)


def test_a_class_the_model_never_saw_costs_probability():
    answers = Answers(
        Told(None, np.array([[0.5, 0.5]]), np.array([0, 2])),
        None,
        np.array([1]),
        np.array([0]),
        np.arange(3),
    )
    assert answers.probabilities.tolist() == [[0.5, 0.0, 0.5]]
    (loss,) = get_scores("loss")
    assert loss.function(answers) == pytest.approx(-np.log(1e-15))


def test_errors_of_numbers():
    true, predicted = np.array([1.0, 2.0, 4.0]), np.array([1.0, 4.0, 1.0])
    answers = Answers(None, None, true, predicted, np.unique(true))
    rmse, mae = get_scores(("rmse", "mae"))
    assert rmse.function(answers) == pytest.approx(np.sqrt(13 / 3))
    assert mae.function(answers) == pytest.approx(5 / 3)


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ("acuracy", "Did you mean 'accuracy'"),
        ((), "at least one"),
        (("f1", "f1"), "different names"),
        ((3,), "neither a name nor a function"),
        (lambda t, p: 0.0, "has no name"),
        ({"seconds": "f1"}, "'seconds' names a column"),
        ({1: "f1"}, "is not a str"),
        (7, "must be names or functions"),
    ],
)
def test_metrics_that_cannot_be_used(metrics, message):
    with pytest.raises(sl.MeasureError, match=message):
        learning_curve(Memory(), *problem(), [10], metrics=metrics)


# ------------------------------------------------------------------------------------ curves


def test_one_row_a_fold_size_and_capacity():
    x, y = problem()
    curve = learning_curve(
        Memory(), x, y, [10, 0.5, 200], cv=3, capacity={"power": [1.0, 2.0]}, metrics=("error",)
    )
    assert len(curve) == 3 * 3 * 2
    assert sorted(curve.samples.unique()) == [10, 100, 200]
    assert curve.run.unique().tolist() == ["0.0", "0.1", "0.2"]
    assert (curve[["fit_seconds", "predict_seconds", "latency"]] >= 0).all(axis=None)
    assert (curve.latency * 100 <= curve.predict_seconds * (1 + 1e-9)).all()
    assert curve.attrs["metrics"]["error"] == {"direction": "lower", "bounds": [0.0, 1.0]}
    assert [fold["held_out"] for fold in curve.attrs["folds"]] == [100, 100, 100]
    json.dumps(curve.attrs)
    means = curve.groupby("samples").error.mean()
    assert means.is_monotonic_decreasing


def test_fractions_are_of_each_fold_s_training_samples():
    x, y = problem(31)
    curve = learning_curve(Memory(), x, y, [1.0], cv=3)
    assert sorted(curve.samples) == [20, 21, 21]


def test_the_model_sees_nested_samples_and_never_those_held_out():
    seen = []

    class Spy(Memory):
        def fit(self, X, y):
            super().fit(X, y)
            self.trained = set(X.tolist())
            seen.append(self.trained)

        def predict(self, X):
            assert not self.trained & set(X.tolist())
            return super().predict(X)

    x, y = problem(100)
    curve = learning_curve(lambda: Spy(), x, y, [5, 20, 60], cv=4)
    assert (curve.status == "ok").all()
    assert len(seen) == 12
    for a, b, c in zip(seen[0::3], seen[1::3], seen[2::3], strict=True):
        assert a < b < c
    assert len({frozenset(s) for s in seen[2::3]}) == 4


def test_a_size_that_raises_leaves_the_others():
    x, y = problem()
    curve = learning_curve(Memory(fail_below=20), x, y, [10, 40, 80], cv=2)
    assert curve[curve.samples == 10].status.tolist() == ["error", "error"]
    assert "10 samples are too few" in curve.failure[0]
    assert (curve[curve.samples > 10].status == "ok").all()
    fit = sl.fit(curve, "power", target="accuracy", inputs=("samples",), draws=0)
    assert len(fit.runs) == 4
    assert "unfinished_runs" in {note.code for note in fit.notes}


def test_one_class_only_is_a_row():
    linear = pytest.importorskip("sklearn.linear_model")
    x, y = problem(200)
    curve = learning_curve(linear.LogisticRegression(), x[:, None], y, [1, 100], cv=2)
    assert set(curve[curve.samples == 1].status) == {"error"}
    assert set(curve[curve.samples == 100].status) == {"ok"}


def test_groups_stay_whole_and_a_size_below_the_first_group_is_a_row():
    x, y = problem(200)
    groups = np.arange(200) // 20
    curve = learning_curve(Memory(), x, y, [5, 50, 160], cv=5, groups=groups)
    assert sorted(curve[curve.status == "ok"].samples.unique()) == [40, 160]
    assert set(curve[curve.samples == 5].status) == {"error"}
    assert "cannot hold the first group, of 20" in curve.failure[0]


def test_time_trains_on_what_comes_last_before_what_is_held_out():
    spans = []

    class Spy(Memory):
        def fit(self, X, y):
            super().fit(X, y)
            spans.append((X.min(), X.max()))

        def predict(self, X):
            spans[-1] = (*spans[-1][:2], X.min())
            return super().predict(X)

    x = np.arange(100.0)
    learning_curve(Spy, x, x > 50, [10], cv=0.2, time=x)
    assert spans == [(70.0, 79.0, 80.0)]


def test_the_log_is_resumed_and_tells_other_data_apart(tmp_path):
    calls = []

    class Counted(Memory):
        def fit(self, X, y):
            calls.append(len(y))
            super().fit(X, y)

    x, y = problem(120)
    log = tmp_path / "curve.jsonl"
    first = learning_curve(Counted(), x, y, [10, 20], cv=2, log=log)
    again = learning_curve(Counted(), x, y, [10, 20, 40], cv=2, log=log)
    assert calls == [10, 20, 10, 20, 40, 40]
    pd.testing.assert_series_equal(
        first.latency, again[again.samples < 40].latency.reset_index(drop=True)
    )
    other = learning_curve(Counted(), x, 1 - y, [10], cv=2, log=log)
    assert len(calls) == 8
    assert other.data[0] != first.data[0]
    assert learning_curve(Counted(2.0), x, y, [10], cv=2).data[0] != first.data[0]


def test_children_give_the_same_curve():
    x, y = problem(100)
    here = learning_curve(Memory(), x, y, [10, 30], cv=2)
    there = learning_curve(Memory(), x, y, [10, 30], cv=2, workers=2)
    assert there.accuracy.tolist() == here.accuracy.tolist()


@pytest.mark.parametrize("form", ["table", "list", "sparse"])
def test_inputs_may_be_tables_lists_or_sparse(form):
    x, y = problem(60)
    plain = learning_curve(Memory(), x, y, [10], cv=2)
    if form == "sparse":
        sparse = pytest.importorskip("scipy.sparse")
        x = sparse.csr_matrix(x[:, None])

        class Dense(Memory):
            def fit(self, X, y):
                super().fit(X.toarray()[:, 0], y)

            def predict(self, X):
                return super().predict(X.toarray()[:, 0])

        model = Dense()
    else:
        model = Memory()
        x = pd.Series(x, index=range(100, 160)) if form == "table" else x.tolist()
    assert learning_curve(model, x, y, [10], cv=2).accuracy.tolist() == plain.accuracy.tolist()


def test_unset_random_states_are_set():
    tree = pytest.importorskip("sklearn.tree")
    x, y = problem(200)
    noisy = np.column_stack([x, np.random.default_rng(1).uniform(size=(200, 5))])
    model = tree.ExtraTreeClassifier()
    runs = [learning_curve(model, noisy, y, [20, 50], cv=3, seed=s) for s in (0, 0, 1)]
    assert runs[0].accuracy.tolist() == runs[1].accuracy.tolist()
    assert runs[0].accuracy.tolist() != runs[2].accuracy.tolist()
    assert model.random_state is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": np.arange(5.0)}, "X has 5 rows"),
        ({"y": [float("nan")] + [0.0] * 39}, "no usable target for sample 0"),
        ({"y": np.linspace(0, 1.5, 40)}, "metric 'accuracy' is of classes"),
        ({"sizes": [0]}, "size 0 is neither"),
        ({"sizes": [33]}, "size 33 is neither"),
        ({"sizes": [True]}, "size True is neither"),
        ({"sizes": ["10"]}, "size '10' is neither"),
        ({"sizes": [float("nan")]}, "size nan is neither"),
        ({"sizes": []}, "sizes is empty"),
        ({"sizes": 10}, "sizes must be a list"),
        ({"seed": -1}, "seed must be"),
        ({"seed": 1.5}, "seed must be"),
        ({"stratify": "classes"}, "stratify must be"),
        ({"stratify": [0, 1]}, "one class for each of the 40 samples"),
        ({"groups": [0, 1]}, "one group for each of the 40 samples"),
        ({"time": [0, 1]}, "one time for each of the 40 samples"),
        ({"time": [float("nan")] * 40}, "no time for sample 0"),
        ({"capacity": {"depth": [1]}}, "has no parameter 'depth'"),
        ({"capacity": [1]}, "capacity must map"),
        ({"capacity": {"samples": [1]}}, "'samples' names a column"),
        ({"estimator": object()}, "could not be made"),
        ({"estimator": dict}, "dict has no fit"),
    ],
)
def test_a_curve_that_cannot_be_measured_trains_nothing(change, message):
    x, y = problem(40)
    asked = {"estimator": Memory(fail_below=10**9), "X": x, "y": y, "sizes": [10], **change}
    with pytest.raises(sl.MeasureError, match=message):
        learning_curve(**asked)


# ------------------------------------------------------------------- from the curve to a plan


class Nearest(Memory):
    """The same, for many samples."""

    def predict(self, X):
        order = np.argsort(self.X)
        points, labels = self.X[order], self.y[order]
        return labels[np.searchsorted((points[1:] + points[:-1]) / 2, X)]


def stripes(n, flip=0.0, seed=0):
    """Forty stripes of two classes, some labels flipped."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(size=n)
    y = (40 * x).astype(int) % 2
    return x, np.where(rng.uniform(size=n) < flip, 1 - y, y)


def test_a_curve_fits_and_says_how_many_samples_a_target_needs():
    """Every edge between stripes is off by an amount that falls as 1 / n, without a floor."""
    x, y = stripes(100_000)
    ahead = [6400, 12800]
    curve = learning_curve(Nearest(), x, y, [400, 800, 1600, 3200, *ahead], metrics=("error",))
    measured = curve.groupby("samples").error.mean()
    early = curve[curve.samples < ahead[0]]
    fit = sl.fit(early, "power", target="error", inputs=("samples",), draws=300)
    assert fit.coef["alpha"] == pytest.approx(1.0, abs=0.1)
    plan = sl.Planner(fit).for_target(measured[12800])
    assert plan.low["samples"] < 12800 < plan.high["samples"]
    assert plan.best["samples"] == pytest.approx(12800, rel=0.25)
    chosen = sl.select(early, target="error", inputs=("samples",), draws=200)
    expected = chosen.predict(samples=ahead)
    assert (expected.error_low < measured[ahead].to_numpy()).all()
    assert (expected.error_high > measured[ahead].to_numpy()).all()


def test_a_target_beyond_the_ceiling_is_said_to_be_out_of_reach():
    x, y = stripes(50_000, flip=0.1)
    curve = learning_curve(Nearest(), x, y, [100, 200, 400, 800, 1600, 3200, 6400])
    fit = sl.fit(curve, "power_with_floor", target="accuracy", inputs=("samples",), draws=200)
    plan = sl.Planner(fit).for_target(0.95)
    assert not plan.feasible
    assert "target_above_ceiling" in {note.code for note in plan.notes}
    assert plan.limit == pytest.approx(0.9**2 + 0.1**2, abs=0.02)  # two noisy labels agree
    assert sl.Planner(fit).for_target(0.8).feasible
