"""Scores of a trained model on samples it has not seen, by name or by function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from scaling_laws.errors import MeasureError, suggest
from scaling_laws.quantities import quantity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LEAST_PROBABILITY = 1e-15  # of the true class, so that one sure mistake does not cost infinity


class Answers:
    """What a model answers for held-out samples; class probabilities only where asked for.

    Parameters
    ----------
    model : object
        Trained; has ``predict``, and ``predict_proba`` for scores of probabilities.
    X : array_like
        Inputs of ``n`` samples.
    true : ndarray (n,)
        True targets.
    predicted : ndarray (n,)
        What ``predict`` gave.
    classes : ndarray
        All classes of the data, ascending; also those the training samples lack.
    """

    def __init__(
        self,
        model: Any,
        X: Any,
        true: NDArray[Any],
        predicted: Any,
        classes: NDArray[Any],
    ) -> None:
        import numpy as np

        self.model, self.X, self.true, self.classes = model, X, true, classes
        self.predicted = np.asarray(predicted)
        if self.predicted.shape != self.true.shape:
            self.predicted = self.predicted.reshape(-1)
        if self.predicted.shape != self.true.shape:
            raise ValueError(
                f"predict gave shape {np.shape(predicted)} for {len(true)} samples; one value each "
                "is expected"
            )

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """Probability of each of ``classes`` ``(n, classes)``; 0 for those the model lacks."""
        import numpy as np

        if not hasattr(self.model, "predict_proba"):
            raise TypeError(f"{type(self.model).__name__} has no predict_proba")
        given = np.asarray(self.model.predict_proba(self.X), dtype=float)
        known = np.asarray(getattr(self.model, "classes_", self.classes))
        if given.shape != (len(self.true), len(known)):
            raise ValueError(f"predict_proba gave shape {given.shape} for {len(known)} classes")
        full = np.zeros((len(self.true), len(self.classes)))
        full[:, np.searchsorted(self.classes, known)] = given
        return full


@dataclass(frozen=True)
class Score:
    """A named score.

    Parameters
    ----------
    name : str
        Column of the table.
    function : callable
        From `Answers` to a number.
    of_classes : bool
        Whether the targets must be classes.
    """

    name: str
    function: Callable[[Answers], float]
    of_classes: bool = False

    @property
    def about(self) -> dict[str, Any]:
        """Which way is better, and the declared range (None where there is none)."""
        declared = quantity(self.name)
        if declared.domain == "real":
            return {"direction": None, "bounds": None}
        bounds = None if declared.bounds is None else list(declared.bounds)
        return {"direction": declared.direction, "bounds": bounds}


def get_scores(metrics: Any) -> tuple[Score, ...]:
    """Scores by name, by function ``(true, predicted) -> number``, or mappings of names to them.

    Parameters
    ----------
    metrics : str, callable, mapping, or iterable of str and callable
        Names of this module (accuracy, error, balanced_accuracy, precision, recall, f1, roc_auc,
        loss, rmse, mae), or of scikit-learn's scorers.

    Returns
    -------
    tuple of Score

    Raises
    ------
    MeasureError
        A name nobody knows, a repeated name, or none at all.

    Examples
    --------
    >>> def misses(true, predicted):
    ...     return float((true != predicted).sum())
    >>> [score.name for score in get_scores(["accuracy", misses])]
    ['accuracy', 'misses']
    """
    if isinstance(metrics, Mapping):
        scores = [_score(value, name) for name, value in metrics.items()]
    elif isinstance(metrics, str) or callable(metrics):
        scores = [_score(metrics)]
    elif isinstance(metrics, Iterable):
        scores = [_score(value) for value in metrics]
    else:
        raise MeasureError(f"metrics must be names or functions, got {metrics!r}.")
    names = [score.name for score in scores]
    if not names or len(set(names)) < len(names):
        raise MeasureError(
            f"metrics must be at least one, with different names; got {names}. Name functions with "
            "a mapping {'name': function}."
        )
    return tuple(scores)


def _score(value: Any, name: Any = None) -> Score:
    if name is not None and not isinstance(name, str):
        raise MeasureError(f"the metric name {name!r} is not a str.")
    if isinstance(value, str):
        if value in _BY_NAME:
            found = _BY_NAME[value]
            return Score(name or value, found.function, found.of_classes)
        return Score(name or value, _by_sklearn(value))
    if not callable(value):
        raise MeasureError(f"the metric {value!r} is neither a name nor a function.")
    name = name or getattr(value, "__name__", "")
    if not str(name).isidentifier():
        raise MeasureError(
            f"the metric {value!r} has no name for its column. Give {{'name': function}}."
        )
    return Score(str(name), lambda answers: value(answers.true, answers.predicted))


def _by_sklearn(name: str) -> Callable[[Answers], float]:
    remedy = f"{suggest(name, _BY_NAME)} Known: {', '.join(_BY_NAME)}."
    try:
        from sklearn.metrics import get_scorer
    except ImportError:
        raise MeasureError(
            f"unknown metric '{name}'.{remedy} With scikit-learn installed, its scorers too."
        ) from None
    try:
        scorer = get_scorer(name)
    except (ValueError, KeyError):
        raise MeasureError(
            f"unknown metric '{name}'.{remedy} It is no scorer of scikit-learn either."
        ) from None
    return lambda answers: float(scorer(answers.model, answers.X, answers.true))


# ------------------------------------------------------------------------------ by name


def _accuracy(answers: Answers) -> float:
    return float((answers.true == answers.predicted).mean())


def _error(answers: Answers) -> float:
    return 1.0 - _accuracy(answers)


def _balanced_accuracy(answers: Answers) -> float:
    import numpy as np

    hits = answers.true == answers.predicted
    return float(np.mean([hits[answers.true == c].mean() for c in np.unique(answers.true)]))


def _counts(answers: Answers) -> NDArray[np.float64]:
    """Hits, predictions and members of the classes that count ``(3, classes)``.

    Of two classes the second (the larger label) counts; of more, all that occur.
    """
    import numpy as np

    true, predicted = answers.true, answers.predicted
    occurring = np.unique(np.concatenate([true, predicted]))
    counting = answers.classes[1:] if len(answers.classes) == 2 else occurring
    of_class = [
        (((true == c) & (predicted == c)).sum(), (predicted == c).sum(), (true == c).sum())
        for c in counting
    ]
    return np.array(of_class, dtype=float).T


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> float:
    """Mean of the shares, 0 where there is nothing to share."""
    import numpy as np

    return float(np.mean(np.where(whole > 0, part / np.maximum(whole, 1.0), 0.0)))


def _precision(answers: Answers) -> float:
    hits, predicted, _ = _counts(answers)
    return _share(hits, predicted)


def _recall(answers: Answers) -> float:
    hits, _, members = _counts(answers)
    return _share(hits, members)


def _f1(answers: Answers) -> float:
    hits, predicted, members = _counts(answers)
    return _share(2.0 * hits, predicted + members)


def _roc_auc(answers: Answers) -> float:
    """Chance that a member of the second class is ranked above one of the first."""
    import numpy as np

    if len(answers.classes) != 2:
        raise ValueError(
            f"roc_auc is of two classes, not {len(answers.classes)}; scikit-learn's 'roc_auc_ovr' "
            "is of more"
        )
    value = answers.probabilities[:, 1]
    _, place, ties = np.unique(value, return_inverse=True, return_counts=True)
    rank = (np.cumsum(ties) - 0.5 * (ties - 1))[place]
    member = answers.true == answers.classes[1]
    many, few = int(member.sum()), int((~member).sum())
    if not many or not few:
        raise ValueError("roc_auc needs held-out samples of both classes")
    return float((rank[member].sum() - many * (many + 1) / 2) / (many * few))


def _cross_entropy(answers: Answers) -> float:
    import numpy as np

    column = np.searchsorted(answers.classes, answers.true)
    likely = answers.probabilities[np.arange(len(column)), column]
    return float(-np.log(np.maximum(likely, _LEAST_PROBABILITY)).mean())


def _rmse(answers: Answers) -> float:
    import numpy as np

    return float(np.sqrt(np.mean((answers.true - answers.predicted) ** 2.0)))


def _mae(answers: Answers) -> float:
    import numpy as np

    return float(np.mean(np.abs(answers.true - answers.predicted)))


_BY_NAME = {
    score.name: score
    for score in (
        Score("accuracy", _accuracy, of_classes=True),
        Score("error", _error, of_classes=True),
        Score("balanced_accuracy", _balanced_accuracy, of_classes=True),
        Score("precision", _precision, of_classes=True),
        Score("recall", _recall, of_classes=True),
        Score("f1", _f1, of_classes=True),
        Score("roc_auc", _roc_auc, of_classes=True),
        Score("loss", _cross_entropy, of_classes=True),
        Score("rmse", _rmse),
        Score("mae", _mae),
    )
}
