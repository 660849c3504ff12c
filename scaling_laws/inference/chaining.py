"""Predictions of one law after another: draws of the first, through draws of the second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from scaling_laws.data.runs import Runs
from scaling_laws.errors import ScalingLawError
from scaling_laws.inference.backtest import automatic_cuts
from scaling_laws.inference.interval import Predictive
from scaling_laws.inference.law_error import LawError
from scaling_laws.inference.resample import keyed_normals, keyed_ranks
from scaling_laws.inference.trials import Cuts, run_trial
from scaling_laws.inference.weighing import backtested_rate
from scaling_laws.laws.combined import compose
from scaling_laws.laws.family import LawFamily
from scaling_laws.quantities import quantity
from scaling_laws.solving.objective import Array, inverse_transform, transform
from scaling_laws.solving.setup import Settings

_PRIOR_RATE = 1.0  # of a link's own error per e-fold of loss below the data: docs/downstream.md
_PRIOR_CUTS = 3.0  # cuts of a backtest that this is worth
_NEAREST = 1e-9  # times the smallest loss of the data: a loss of 0 or less is as far away as this

Axis = Literal["reciprocal", "negative", "itself"]


@dataclass(frozen=True)
class LinkError:
    """How wrong a link may be at better losses, or scores, than it was fitted on.

    Parameters
    ----------
    along : LawError
        Of the axis, on which better is larger.
    axis : {"reciprocal", "negative", "itself"}
        What the axis is of the link's input: the reciprocal of a positive loss, whose distances
        are in e-folds; the negative of one that is not, in spans of the data; a score itself.
    """

    along: LawError
    axis: Axis

    @property
    def rate(self) -> float:
        """Standard deviation for each e-fold or span, on the residual scale."""
        (rate,) = self.along.rates.values()
        return rate

    def at(self, value: Array) -> Array:
        """Standard deviation at values ``(n,)`` of the link's input."""
        ((name, (_, best)),) = self.along.largest.items()
        if self.axis == "reciprocal":
            value = np.maximum(value, _NEAREST / best)
        return self.along.at((name,), [_goodness(value, self.axis)])


def _goodness(value: Array, axis: Axis) -> Array:
    """Where a loss or score lies on an axis on which better is larger."""
    if axis == "itself":
        return value
    return np.asarray(1.0 / value if axis == "reciprocal" else -value)


@dataclass(frozen=True, eq=False)
class ChainedPredictive(Predictive):
    """A `Predictive` whose draws go through two laws.

    Parameters
    ----------
    first, link : Predictive
        Of the loss, and of the score given the loss. Their draws are independent: the link's are
        those of the score *given* the loss.
    link_error : LinkError or None
        How far the link may be wrong beyond the losses it was fitted on.
    scatter : float
        Noise of a score around the link, on the residual scale, without that of its questions.
    questions : int or None
        Questions behind a score; None where the scatter holds their noise.
    """

    first: Predictive = field(kw_only=True)
    link: Predictive = field(kw_only=True)
    link_error: LinkError | None = field(kw_only=True)
    scatter: float = field(kw_only=True)
    questions: int | None = field(kw_only=True)

    def mean(self, inputs: Sequence[Array]) -> Array:
        """Return the point prediction ``(n,)``."""
        return self.link.mean([self.first.mean(inputs)])

    def deviations(
        self, inputs: Sequence[Array], parts: Sequence[str], span: slice = slice(None)
    ) -> Array:
        """Return draws of the target less its point prediction, on the residual scale.

        A run's noise in the loss goes through the link: a loss that came out low brings the score
        that such a loss brings.
        """
        expected = self.first.mean(inputs)
        centre = self._scaled(self.link.mean([expected]))
        loss = self.first.draws(inputs, parts, span)
        coef = self.link.coef[span]
        if "coefficients" not in parts:
            coef = np.broadcast_to(self.link.values, coef.shape)
        with np.errstate(all="ignore"):
            value = self.link.family.evaluate([loss], [c[:, None] for c in coef.T])
        score = self._scaled(np.broadcast_to(value, loss.shape))
        if "law" in parts and self.link_error is not None:
            score = score + self.link_error.at(expected) * self.z_law[span][:, None]
        if "run" in parts:
            score = self._noisy(score, expected, span)
        return np.asarray(score - centre)

    def _noisy(self, score: Array, expected: Array, span: slice) -> Array:
        """Scores of runs: scattered around the link, on a finite number of questions."""
        trend = self.link.noise_at([expected]) / max(self.link.noise, 1e-300)
        score = score + self.scatter * trend * self.z_run[span][:, None]
        if self.questions is None:
            return score
        low, high = self.bounds
        share = (inverse_transform(score, self.residual, self.bounds) - low) / (high - low)
        z = keyed_normals("questions", len(self.coef), 0)[span][:, None]
        angle = np.arcsin(np.sqrt(share)) + 0.5 * z / np.sqrt(self.questions)  # Anscombe 1948
        share = np.sin(np.clip(angle, 0.0, 0.5 * np.pi)) ** 2
        return self._scaled(low + (high - low) * share)

    def _scaled(self, value: Array) -> Array:
        return np.asarray(transform(self._inside(value), self.residual, self.bounds))

    def _ends(self, inputs: Sequence[Array], tails: Array, parts: Sequence[str]) -> Array:
        """Ends of the interval ``(2, n)``; those of a run enclose those of the mean."""
        quiet = self.deviations(inputs, [p for p in parts if p != "run"])
        ends = np.quantile(quiet, tails, axis=0)
        if "run" in parts:
            wider = np.quantile(self.deviations(inputs, parts), tails, axis=0)
            ends = np.stack([np.minimum(ends[0], wider[0]), np.maximum(ends[1], wider[1])])
        centre = self._scaled(self.mean(inputs))
        return np.asarray(inverse_transform(centre + ends, self.residual, self.bounds))


def chained_predictive(
    first: Predictive,
    link: Predictive,
    link_error: LinkError | None,
    questions: int | None,
    noise_of_questions: float,
) -> ChainedPredictive:
    """Put two predictives in a row.

    Parameters
    ----------
    first, link : Predictive
    link_error : LinkError or None
        See `link_law_error`.
    questions : int or None
    noise_of_questions : float
        Root mean square of the noise of that many questions in the link's runs, on the residual
        scale; taken out of the link's scatter.
    """  # fmt: skip
    draws = min(len(first.coef), len(link.coef))
    # The rows of a fit and of its link may share labels, hence disturbances: a fixed shuffle of the
    # link's draws keeps what is independent given the loss independent.
    order = np.argsort(keyed_ranks("draws of a link", len(link.coef), 0), kind="stable")[:draws]
    link = replace(link, coef=link.coef[order], z_law=link.z_law[order], z_run=link.z_run[order])
    scatter = float(np.sqrt(max(link.noise**2 - noise_of_questions**2, 0.0)))
    return ChainedPredictive(
        family=compose(first.family, link.family),
        values=np.concatenate([first.values, link.values]),
        coef=np.concatenate([first.coef[:draws], link.coef], axis=1),
        z_law=link.z_law,
        z_run=link.z_run,
        noise=link.noise if np.isfinite(first.noise) else float("nan"),
        residual=link.residual,
        bounds=link.bounds,
        first=_cut(first, draws),
        link=link,
        link_error=link_error,
        scatter=scatter,
        questions=questions,
    )


def with_first(chained: ChainedPredictive, first: Predictive) -> ChainedPredictive:
    """Return the same with another first step, such as a selection's for another direction."""
    return replace(chained, first=_cut(first, len(chained.coef)))


def _cut(predictive: Predictive, draws: int) -> Predictive:
    """Keep the first draws; those of a selection carry numbers of their own."""
    if len(predictive.coef) == draws:
        return predictive
    spread = predictive.spread
    if spread is not None:
        z = {n: v[:draws] for n, v in spread.z.items()}
        spread = replace(spread, z=z, factor=spread.factor[:draws])
    kept = {n: getattr(predictive, n)[:draws] for n in ("coef", "z_law", "z_run")}
    return replace(predictive, spread=spread, **kept)


def link_law_error(settings: Settings, runs: Runs, family: LawFamily) -> LinkError:
    """How wrong a link is beyond the losses it has seen, from backtests that hold out the best.

    Parameters
    ----------
    settings : Settings
    runs : Runs
        Of one input, the loss; or a score, which is better when higher.
    family : LawFamily

    Returns
    -------
    LinkError
    """
    (name,), (loss,) = runs.inputs, runs.x
    kind: Axis = "reciprocal" if (loss > 0).all() else "negative"
    if quantity(name).direction == "higher":
        kind = "itself"
    axis = _goodness(loss, kind)
    cuts = Cuts(name, axis, automatic_cuts(axis), "one input")
    largest = {name: (float(axis.min()), float(axis.max()))}
    prior = _PRIOR_RATE * settings.target_unit(runs)
    try:
        trial = run_trial(settings, runs, family, cuts, focuses=(settings.focus,))
    except ScalingLawError:
        return LinkError(LawError({name: prior}, largest), kind)
    rate, _ = backtested_rate(trial, cuts, prior, _PRIOR_CUTS)
    return LinkError(LawError({name: rate}, largest), kind)
