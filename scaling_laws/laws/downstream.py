"""Laws of what a model can do, from its loss on the same task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scaling_laws.laws import elementary
from scaling_laws.laws.family import Coefs, LawFamily, plateau, scale


def _logistic(x: Any, chance: Any, best: Any, middle: Any, k: Any) -> Any:
    return chance + (best - chance) * elementary.logistic(k * (middle - x))


def _logistic_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    return {**coef, "middle": coef["middle"] * factors[0], "k": coef["k"] / factors[0]}


logistic = LawFamily(
    name="logistic",
    function=_logistic,
    inputs=("task_loss",),
    coefficients=(
        plateau("chance", "level at high loss"),
        plateau("best", "level at low loss"),
        scale("middle", (0.3, 3.0), "loss half-way between the levels"),
        scale("k", (1.0, 50.0), "steepness"),
    ),
    formula=r"y = chance + \frac{best - chance}{1 + e^{k (x - middle)}}",
    reference="Bhagia et al. 2024, arXiv:2412.04403, step 2",
    example={"chance": 0.25, "best": 0.95, "middle": 0.8, "k": 6.0},
    aliases=("sigmoid", "accuracy_from_loss"),
    rescale=_logistic_rescale,
)

FAMILIES = (logistic,)
