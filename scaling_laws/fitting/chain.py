"""`chain`: a law of the loss and a link from loss to score, as one thing that predicts scores."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scaling_laws.errors import DataError, Note
from scaling_laws.fitting.file_format import FORMAT_VERSION, write_json
from scaling_laws.fitting.predicting import Predicts
from scaling_laws.fitting.result import Fit
from scaling_laws.fitting.saved_fits import fit_from_dict
from scaling_laws.fitting.selection import Selection
from scaling_laws.inference.chaining import (
    ChainedPredictive,
    chained_predictive,
    link_law_error,
    with_first,
)
from scaling_laws.inference.interval import Predictive
from scaling_laws.laws.family import Law
from scaling_laws.solving.objective import Array


class NotOfChainError(DataError, AttributeError):
    """A chain was asked for what belongs to one of its steps."""


@dataclass(frozen=True, eq=False)
class Chain(Predicts):
    """A law of the loss, then a link from loss to score. Frozen; made by `scaling_laws.chain`.

    Predicts, plans and is saved as a `Fit` is. Rows, residuals and options belong to its steps.

    Parameters
    ----------
    loss : Fit or Selection
        Step one.
    link : Fit
        Step two.
    questions : int or None
        Questions behind a score.
    law : Law
        The link of the loss, callable; coefficients of step one end in ``_1``, of the link in
        ``_2``.
    target : str
    predictive : Predictive
        Draws of both steps.
    ranges : mapping of str to (float, float)
        Measured range of every input of step one.
    notes : tuple of Note
        Of both steps, each led by its step.

    Examples
    --------
    >>> import numpy as np, scaling_laws as sl
    >>> flops = np.geomspace(1e18, 1e21, 12)
    >>> runs = {"flops": flops, "task_loss": 0.5 + 4e3 * flops**-0.21}
    >>> loss = sl.fit(runs, "power_with_floor", target="task_loss", draws=50)
    >>> runs["accuracy"] = 0.25 + 0.7 / (1 + np.exp(9 * (runs["task_loss"] - 0.7)))
    >>> link = sl.fit(runs, "logistic", target="accuracy", fixed={"chance": 0.25}, draws=50)
    >>> chain = sl.chain(loss, link)
    >>> round(chain.law(flops=1e22), 2), chain.target, chain.inputs
    (0.75, 'accuracy', ('flops',))
    """

    loss: Fit | Selection
    link: Fit
    questions: int | None
    law: Law
    target: str
    predictive: Predictive
    ranges: Mapping[str, tuple[float, float]]
    notes: tuple[Note, ...]

    @property
    def coef(self) -> dict[str, float]:
        """Coefficients of both steps in raw units, a fresh mapping."""
        return self.law.coef

    def predictive_for(self, inputs: Sequence[Array]) -> Predictive:
        """Draws that answer a request at these inputs."""
        assert isinstance(self.predictive, ChainedPredictive)
        return with_first(self.predictive, self.loss.predictive_for(inputs))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping of both steps with their rows, the content of a file."""
        from scaling_laws import __version__

        return {
            "format": FORMAT_VERSION,
            "kind": "Chain",
            "version": __version__,
            "loss": _step_to_dict(self.loss),
            "link": _step_to_dict(self.link),
            "questions": self.questions,
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write both steps to a JSON file, atomically; `scaling_laws.load` chains them again.

        Parameters
        ----------
        path : path

        Examples
        --------
        >>> import os, tempfile, scaling_laws as sl
        >>> runs = sl.load_dataset("tiny_lm")
        >>> runs["error"] = 0.8 - 0.9 * 2.718 ** (-0.8 * runs["loss"])
        >>> loss = sl.fit(runs, "chinchilla", draws=20)
        >>> link = sl.fit(runs, "loss_to_error", inputs=("loss",), target="error", draws=20)
        >>> chain = sl.chain(loss, link)
        >>> path = os.path.join(tempfile.mkdtemp(), "chain.json")
        >>> chain.save(path)
        >>> sl.load(path).coef == chain.coef
        True
        """
        write_json(path, self.to_dict())

    def __getattr__(self, name: str) -> Any:
        """Say where to look: rows, residuals and options belong to one of the steps."""
        hint = (
            f" Its steps do: chain.loss.{name}, chain.link.{name}. What needs a Fit takes one of "
            "them: chain.loss or chain.link."
            if hasattr(Fit, name) or (name in Fit.__dataclass_fields__)
            else ""
        )
        raise NotOfChainError(f"a Chain has no '{name}'.{hint}")

    def __str__(self) -> str:
        on = "" if self.questions is None else f" on {self.questions:,} questions"
        steps = (
            f"{self.loss.target} from {', '.join(self.loss.inputs)} by "
            f"{self.loss.law.family.name}, then {self.target} by {self.link.law.family.name}{on}"
        )
        coef = "\n".join(f"  {n:<12} {v:.4g}" for n, v in self.coef.items())
        return "\n".join([f"Chain: {steps}", coef, *(f"  {n}" for n in self.notes)])

    def __repr__(self) -> str:
        return str(self)


def steps_hint(source: Any) -> str:
    """What to pass where a fit is needed and a chain was given; empty for anything else.

    Examples
    --------
    >>> steps_hint("no chain")
    ''
    """
    return " A Chain is two fits: pass chain.loss or chain.link." * isinstance(source, Chain)


def chain_from_dict(data: Mapping[str, Any]) -> Chain:
    """Restore a chain from `Chain.to_dict`."""
    from scaling_laws.fitting.saved_selections import selection_from_dict

    selected = data["loss"]["kind"] == "Selection"
    loss = (selection_from_dict if selected else fit_from_dict)(data["loss"])
    return chain(loss, fit_from_dict(data["link"]), questions=data["questions"])


def _step_to_dict(step: Fit | Selection) -> dict[str, Any]:
    from scaling_laws.fitting.saved_selections import selection_to_dict

    return step.to_dict(rows=True) if isinstance(step, Fit) else selection_to_dict(step)


def chain(loss: Fit | Selection, link: Fit, *, questions: int | None = None) -> Chain:
    """Put a law of the loss and a link from loss to score in a row.

    Parameters
    ----------
    loss : Fit or Selection
        Of the loss, from what is varied: its target is the link's input.
    link : Fit
        Of the score, from that loss: a law of one input such as ``logistic`` or ``loss_to_error``.
        It may be fitted to other runs than the loss, or to all their checkpoints.
    questions : int, optional
        Number of questions of the benchmark, for a score that is a share of them. Their sampling
        noise, binomial, is then taken out of the link's scatter and put back at the score that is
        predicted: it shrinks towards 0 and 1, and is never less than that of fresh questions.

    Returns
    -------
    Chain
        Predicts the score at inputs of the loss.

    Raises
    ------
    DataError
        Not fits, a link from something else than that loss, or ``questions`` that are not a whole
        number > 0 or that the link's target is no share of.

    Notes
    -----
    A draw of the loss goes through a draw of the link: coefficients and law error of both count.
    The interval of a run (``kind="run"``) adds the run's noise in the loss, which the link turns
    into noise of the score, and the scatter around the link [1]_. Draws of the two steps are
    independent, since the link is about the score *given* the loss, whatever brought that about.
    How far the link may be wrong below the smallest loss it has seen comes from backtests that
    hold out the runs with the smallest losses: by the e-fold where all losses are positive, else
    by the span of the data. Where the first step's target is better when higher, such as an
    accuracy, the link may be wrong above the largest it has seen.

    References
    ----------
    .. [1] Bhagia et al. (2024), arXiv:2412.04403, chain the two steps without uncertainty.

    Examples
    --------
    >>> import numpy as np, scaling_laws as sl
    >>> runs = sl.load_dataset("tiny_lm")
    >>> runs["error"] = 0.8 - 0.9 * np.exp(-0.8 * runs["loss"])
    >>> loss = sl.fit(runs, "chinchilla", draws=50)
    >>> link = sl.fit(runs, "loss_to_error", inputs=("loss",), target="error", draws=50)
    >>> list(sl.chain(loss, link).predict(params=1e8, tokens=1e10).columns)
    ['params', 'tokens', 'error', 'error_low', 'error_high', 'extrapolation']
    """
    _check_steps(loss, link)
    binomial = 0.0 if questions is None else _noise_of_questions(link, questions)
    error = None
    if link.fitter.law_error and len(link.draws):
        error = link_law_error(link.fitter, link.rows("chain"), link.law.family)
    predictive = chained_predictive(loss.predictive, link.predictive, error, questions, binomial)
    return Chain(
        loss=loss,
        link=link,
        questions=questions,
        law=Law(predictive.family, tuple(predictive.values.tolist())),
        target=link.target,
        predictive=predictive,
        ranges=loss.ranges,
        notes=_notes(loss, link),
    )


def _check_steps(loss: Any, link: Any) -> None:
    if not isinstance(loss, Fit | Selection) or not isinstance(link, Fit):
        raise DataError(
            f"chain takes a fit or selection of the loss, then a fit of the score; got "
            f"{type(loss).__name__} and {type(link).__name__}."
        )
    if link.law.inputs != (loss.target,):
        raise DataError(
            f"the link predicts '{link.target}' from {link.law.inputs}, the first step predicts "
            f"'{loss.target}'. Bind the link to that, inputs=('{loss.target}',), or fit the first "
            "step with the link's input as target=; columns= names the table's column."
        )


def _noise_of_questions(link: Fit, questions: Any) -> float:
    """Root mean square of the binomial noise in the link's runs, on the logit scale."""
    whole = isinstance(questions, int | np.integer) and not isinstance(questions, bool)
    if not whole or questions < 1:
        raise DataError(f"questions must be a whole number > 0, got {questions!r}.")
    predictive = link.predictive
    if predictive.residual != "logit" or predictive.bounds != (0.0, 1.0):
        raise DataError(
            f"questions= needs a score that is a share, such as accuracy or error, fitted on the "
            f"logit scale; '{link.target}' was fitted on the {predictive.residual} scale. Leave "
            "questions out."
        )
    share = predictive.mean(link.rows("questions=").x)
    # a share nearer 0 or 1 than half a question has no normal noise on this scale
    share = np.clip(share, 0.5 / questions, 1 - 0.5 / questions)
    return float(np.sqrt(np.mean(1.0 / (questions * share * (1 - share)))))


def _notes(loss: Fit | Selection, link: Fit) -> tuple[Note, ...]:
    both = [replace(n, message=f"{loss.target}: {n.message}") for n in loss.notes]
    both += [
        replace(n, message=f"{link.target}: {n.message}")
        for n in link.notes
        if n.code != "law_error_from_prior"  # of larger losses, which a chain does not ask about
    ]
    low, high = link.ranges[loss.target]
    if loss.runs is not None and ((loss.runs.y < low) | (loss.runs.y > high)).all():
        ends = float(loss.runs.y.min()), float(loss.runs.y.max())
        message = (
            f"no {loss.target} of the first step's runs ({ends[0]:.4g} to {ends[1]:.4g}) lies "
            f"among those of the link ({low:.4g} to {high:.4g}): check that both are the same "
            "quantity in the same unit"
        )
        both.append(Note("links_apart", "warning", message, {"loss": ends, "link": (low, high)}))
    return tuple(both)
