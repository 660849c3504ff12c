"""The conformance suite a law has to pass: every promise of its declaration is tried."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scaling_laws.errors import LawError
from scaling_laws.laws.family import Array, Coefficient, LawFamily
from scaling_laws.laws.registry import get_law, law_from_dict, list_laws
from scaling_laws.quantities import quantity

_TYPICAL = {
    "params": (1e7, 1e10),
    "tokens": (1e8, 1e11),
    "unique_tokens": (1e8, 1e10),
    "flops": (1e17, 1e22),
    "samples": (1e2, 1e5),
    "steps": (1e3, 1e5),
    "epochs": (1.0, 20.0),
    "experts": (1.0, 64.0),
    "streams": (1.0, 16.0),
    "vocab_size": (1e4, 2e5),
    "learning_rate": (1e-4, 1e-2),
    "batch_size": (1e4, 1e7),
    "sparsity": (0.1, 0.9),
    "granularity": (1.0, 16.0),
    "precision_bits": (3.0, 16.0),
    "weight_bits": (3.0, 16.0),
    "activation_bits": (3.0, 16.0),
    "key_value_bits": (3.0, 16.0),
    "tokens_per_param": (2.0, 600.0),
    "year": (2012.0, 2026.0),
    "training_loss": (1.5, 5.0),
    "width": (256.0, 8192.0),
    "depth": (4.0, 64.0),
    "teacher_loss": (2.0, 4.0),
    "task_loss": (0.5, 2.0),
    "sparsity_ratio": (1.0, 16.0),
    "attempts": (1.0, 1e3),
    "learning_rate_sum": (0.1, 30.0),
    "learning_rate_annealing": (0.01, 0.5),
}
_UNKNOWN = (1.0, 100.0)
_FRACTION = (0.1, 0.9)
_ROWS, _DRAWS = 7, 5
_SAME = 1e-12  # the same arithmetic in another shape
_EQUAL = 1e-9  # the same curve by other arithmetic
_SLOPE = 1e-5  # an exact derivative beside central differences


@dataclass(frozen=True)
class _Sample:
    """A family with inputs ``(n,)`` and coefficients ``(k, 1)`` around its example."""

    family: LawFamily
    inputs: tuple[Array, ...]
    coef: Mapping[str, Array]
    rng: np.random.Generator

    def value(self, coef: Mapping[str, Any] | None = None) -> Any:
        """Evaluate on copies, so that an impure function spoils nothing here."""
        chosen = self.coef if coef is None else coef
        arguments = [np.array(chosen[n]) for n in self.family.coefficient_names]
        return self.family.evaluate([x.copy() for x in self.inputs], arguments)


_Check = Callable[[_Sample], Iterator[str]]


def check_law(law: str | LawFamily, *, seed: int = 0) -> None:
    """Try every promise a law's declaration makes; say which are broken and how to mend them.

    Evaluated around the declared example, at inputs of the magnitude usual for their names:
    shapes, purity, finite values, the linearity claims, derivatives, rescaling, the form it
    is solved in, the mirrored form, pickling and, where the law is registered, the JSON round
    trip. Takes milliseconds; call it from a test.

    Parameters
    ----------
    law : str or LawFamily
        The law to check; it need not be registered.
    seed : int, default 0
        Seed of the inputs and coefficients tried.

    Raises
    ------
    LawError
        One message that lists every broken promise, what was seen and the remedy.

    Examples
    --------
    >>> check_law("chinchilla")
    >>> from dataclasses import replace
    >>> check_law(replace(get_law("chinchilla"), name="mine", formula="", reference=""))
    Traceback (most recent call last):
        ...
    scaling_laws.errors.LawError: law 'mine' fails 1 check:
    - declaration: it has no formula, reference. Give each one.
    """
    family = get_law(law)
    failures = [f"declaration: {said}" for said in _declaration(family)]
    if not family.example:
        raise LawError(_report(family, failures))
    with np.errstate(all="ignore"):
        failures += _failures(family, np.random.default_rng(seed))
    if failures:
        raise LawError(_report(family, failures))


def _report(family: LawFamily, failures: list[str]) -> str:
    count = f"{len(failures)} check{'s' if len(failures) > 1 else ''}"
    return "\n- ".join([f"law '{family.name}' fails {count}:", *failures])


def _failures(family: LawFamily, rng: np.random.Generator) -> list[str]:
    found = [f"pickling: {said}" for said in _pickling(family)]
    try:
        sample = _sample(family, rng)
    except Exception as error:  # the function under test may raise anything
        return [*found, f"evaluation: {_raised(error)}. Evaluate it at its example by hand."]
    if sample is None:
        return [
            *found,
            "finite values: the example gives NaN, infinity or zero at every magnitude of the "
            "inputs tried. Give an example in raw units that predicts a plausible target.",
        ]
    for label, check in _CHECKS:
        try:
            found += [f"{label}: {said}" for said in check(sample)]
        except Exception as error:
            found.append(f"{label}: {_raised(error)}. {_BROADCAST}.")
    return found


_BROADCAST = (
    "Use NumPy arithmetic that broadcasts inputs (n,) against coefficients, scalars or (k, 1)"
)


def _raised(error: Exception) -> str:
    return f"it raised {type(error).__name__}: {error}".rstrip(".")


# --- what to evaluate at -------------------------------------------------------------------


def _sample(family: LawFamily, rng: np.random.Generator) -> _Sample | None:
    """Inputs of usual magnitude, drawn towards one until the example predicts sane values."""
    ranges = [_range(family, n) for n in family.inputs]
    logs = [rng.uniform(np.log(low), np.log(high), _ROWS) for low, high in ranges]
    coef = _around_example(family, rng, 0.1)
    for shrink in (1.0, 0.75, 0.5, 0.25, 0.1):
        inputs = tuple(np.exp(shrink * z) for z in logs)
        sample = _Sample(family, inputs, coef, rng)
        size = np.abs(sample.value())
        if np.all((size > 1e-12) & (size < 1e12)):
            return sample
    return None


def _range(family: LawFamily, name: str) -> tuple[float, float]:
    if family.input_domain == "fraction":
        return _FRACTION
    return _TYPICAL.get(name, _FRACTION if quantity(name).domain == "fraction" else _UNKNOWN)


def _around_example(family: LawFamily, rng: np.random.Generator, spread: float) -> dict[str, Array]:
    """Draws ``(k, 1)`` within ``spread`` of the example, inside the bounds."""
    draws = {}
    for c in family.coefficients:
        middle = family.example[c.name]
        width = spread * (abs(middle) or 1.0)
        drawn = middle + width * rng.uniform(-1, 1, (_DRAWS, 1))
        draws[c.name] = np.clip(drawn, c.lower, c.upper)
    return draws


def _order_one(coefficient: Coefficient, rng: np.random.Generator) -> Array:
    """Draws ``(k, 1)`` of a coefficient for inputs of order one."""
    if coefficient.starts and coefficient.starts[0] > 0:
        low, high = np.log(coefficient.starts)
        quarter = (high - low) / 4
        drawn: Array = np.exp(rng.uniform(low + quarter, high - quarter, (_DRAWS, 1)))
        return drawn
    low, high = coefficient.starts or (0.5, 2.0)
    return rng.uniform(low, high, (_DRAWS, 1))


# --- the checks ----------------------------------------------------------------------------


def _declaration(family: LawFamily) -> Iterator[str]:
    absent = [part for part in ("formula", "reference", "example") if not getattr(family, part)]
    if absent:
        yield f"it has no {', '.join(absent)}. Give each one."
    yield from _starts(family)


def _starts(family: LawFamily) -> Iterator[str]:
    for c in family.coefficients:
        if c.linear is None and c.starts is None:
            yield (
                f"coefficient '{c.name}' is searched but has no starts. Give starts=(low, high) "
                "for inputs of order one, or claim linear= if it is."
            )


def _pickling(family: LawFamily) -> Iterator[str]:
    try:
        restored = pickle.loads(pickle.dumps(family))
    except Exception as error:
        yield (
            f"{_raised(error)}. Define its functions at the top level of a module: no lambda, no "
            "function inside a function."
        )
        return
    if restored != family:
        yield "the family that comes back differs. Build it from module-level functions and tuples."
    elif family.example:
        law = family.with_coef(family.example)
        if pickle.loads(pickle.dumps(law)) != law:
            yield "the law that comes back differs. Keep coefficients plain floats."


def _shapes(sample: _Sample) -> Iterator[str]:
    family, value = sample.family, sample.value()
    if np.shape(value) != (_DRAWS, _ROWS):
        yield (
            f"inputs ({_ROWS},) with coefficients ({_DRAWS}, 1) gave shape {np.shape(value)}, not "
            f"({_DRAWS}, {_ROWS}). {_BROADCAST}."
        )
        return
    rows = []
    for j in range(_DRAWS):
        coef = [float(sample.coef[n][j, 0]) for n in family.coefficient_names]
        vector = family.evaluate(sample.inputs, coef)
        if np.shape(vector) != (_ROWS,):
            yield f"inputs ({_ROWS},) with scalar coefficients gave shape {np.shape(vector)}."
            return
        rows.append(vector)
        at = [[float(x[i]) for x in sample.inputs] for i in range(_ROWS)]
        scalars = np.array([float(family.evaluate(x, coef)) for x in at])
        if not _close(scalars, vector, _SAME):
            yield (
                f"one row at a time differs from all rows at once by {_gap(scalars, vector)}. "
                "Let no row depend on another."
            )
            return
    if not _close(value, np.stack(rows), _SAME):
        yield (
            f"all draws at once differ from one draw at a time by {_gap(value, np.stack(rows))}. "
            "Let no draw depend on another."
        )


def _purity(sample: _Sample) -> Iterator[str]:
    inputs = [x.copy() for x in sample.inputs]
    coef = [sample.coef[n].copy() for n in sample.family.coefficient_names]
    first = np.array(sample.family.evaluate(inputs, coef))
    kept = [*sample.inputs, *(sample.coef[n] for n in sample.family.coefficient_names)]
    names = [*sample.family.inputs, *sample.family.coefficient_names]
    changed = [
        n for n, a, b in zip(names, kept, [*inputs, *coef], strict=True) if not np.array_equal(a, b)
    ]
    if changed:
        yield f"it modified its arguments {changed}. Work on new arrays, not in place."
    elif not np.array_equal(first, np.asarray(sample.family.evaluate(inputs, coef))):
        yield "the same call gave two results. Keep no state and draw no random numbers."


def _finite(sample: _Sample) -> Iterator[str]:
    value = np.asarray(sample.value())
    if value.dtype != np.float64:
        yield f"it returned {value.dtype} for real arguments. Return float64."
    elif not np.isfinite(value).all():
        yield "it is not finite near its example. Check the example and the bounds."
    i = sample.family.floor_index
    if i is not None and not sample.family.increasing:
        name = sample.family.coefficient_names[i]
        if np.any(value < sample.coef[name] - _EQUAL * np.abs(value)):
            yield f"it goes below '{name}', declared as its floor. Use plateau() or mend the form."


def _linearity(sample: _Sample) -> Iterator[str]:
    for claim in ("target", "log"):
        claimed = [c.name for c in sample.family.coefficients if c.linear == claim]
        said = "the value" if claim == "target" else "the logarithm of the value"
        bent = [n for n in claimed if not _affine(sample, claim, [n])]
        if bent:
            yield (
                f"{said} is not linear in {bent}, claimed linear='{claim}'. Drop the claim and "
                "give starts."
            )
        elif len(claimed) > 1 and not _affine(sample, claim, claimed):
            yield (
                f"{said} is linear in each of {claimed} but not in all together (a product of "
                f"two?). Claim linear='{claim}' for one of them only."
            )


def _affine(sample: _Sample, claim: str, names: list[str]) -> bool:
    """Whether the middle of a chord lies on the curve, along a random direction of ``names``."""
    here = _around_example(sample.family, sample.rng, 0.3)
    there = {**here, **{n: _around_example(sample.family, sample.rng, 0.3)[n] for n in names}}
    between = {n: 0.3 * here[n] + 0.7 * there[n] for n in here}
    a, b, middle = (np.asarray(sample.value(c)) for c in (here, there, between))
    if claim == "log":
        a, b, middle = (np.log(v) for v in (a, b, middle))
    size = np.maximum(np.maximum(np.abs(a), np.abs(b)), 1.0 if claim == "log" else 0.0)
    return bool(np.all(np.abs(0.3 * a + 0.7 * b - middle) <= _EQUAL * size))


def _derivatives(sample: _Sample) -> Iterator[str]:
    family = sample.family
    declared = family.value_and_jacobian is not None
    if not declared and not family.analytic:
        return
    arguments = [sample.coef[n] for n in family.coefficient_names]
    value = np.asarray(sample.value())
    remedy = (
        "Mend value_and_jacobian, or leave it out."
        if declared
        else "Set analytic=False, or avoid abs, maximum, logaddexp and the like."
    )
    try:
        given, columns = family.evaluate_with_jacobian(sample.inputs, arguments)
    except Exception as error:
        yield f"{_raised(error)}. {remedy}"
        return
    if len(columns) != len(arguments):
        yield f"{len(columns)} derivatives for {len(arguments)} coefficients. {remedy}"
        return
    if not _close(given, value, _SAME):
        yield f"its value differs from the function's by {_gap(given, value)}. {remedy}"
    for i, name in enumerate(family.coefficient_names):
        numeric, noise = _central(sample, name)
        allowed = _SLOPE * np.abs(numeric).max(axis=-1, keepdims=True) + noise
        if not np.all(np.abs(columns[i] - numeric) <= allowed):
            yield (
                f"the derivative in '{name}' differs from central differences by "
                f"{_gap(columns[i], numeric)}. {remedy}"
            )


def _central(sample: _Sample, name: str) -> tuple[Array, Array]:
    """Derivative by central differences, and the rounding error it may carry."""
    middle = sample.coef[name]
    step = 6e-6 * np.where(middle == 0, 1.0, np.abs(middle))
    above = np.asarray(sample.value({**sample.coef, name: middle + step}))
    below = np.asarray(sample.value({**sample.coef, name: middle - step}))
    noise = 32 * np.finfo(float).eps * np.abs(above) / step
    return (above - below) / (2 * step), noise


def _rescaling(sample: _Sample) -> Iterator[str]:
    family = sample.family
    if family.rescale is None:
        return
    factors = family.same_unit(np.exp(sample.rng.uniform(-3, 3, len(family.inputs))).tolist())
    scaled = replace(
        sample, inputs=tuple(x * s for x, s in zip(sample.inputs, factors, strict=True))
    )
    coef = family.rescale(dict(sample.coef), factors)
    if set(coef) != set(family.coefficient_names):
        yield f"rescale returned {sorted(coef)}. Return every coefficient, under its name."
        return
    if not _close(scaled.value(coef), sample.value(), _EQUAL):
        yield (
            f"with inputs multiplied by {np.round(factors, 3).tolist()} the rescaled coefficients "
            f"give another curve, off by {_gap(scaled.value(coef), sample.value())}. Mend "
            "rescale, say with units= which inputs share a unit or have none, or leave it out: the "
            "law is then fitted in raw units."
        )


def _solved_form(sample: _Sample) -> Iterator[str]:
    family, solved, back = sample.family, sample.family.solve_as, sample.family.from_solved
    if solved is None and back is None:
        return
    if solved is None or back is None:
        yield "solve_as and from_solved come together. Give both or neither."
        return
    if solved.name == family.name or solved.coefficient_names != family.coefficient_names:
        yield (
            f"solve_as is named '{solved.name}', with coefficients {solved.coefficient_names}. "
            "Give it another name, and its coefficients the names of those they become."
        )
        return
    yield from _starts(solved)
    coef = {c.name: _order_one(c, sample.rng) for c in solved.coefficients}
    inputs = tuple(np.exp(sample.rng.uniform(-2, 2, _ROWS)) for _ in family.inputs)
    mapped = back(coef)
    if set(mapped) != set(family.coefficient_names):
        yield f"from_solved returned {sorted(mapped)}. Return every coefficient of the law."
        return
    expected = _Sample(solved, inputs, coef, sample.rng).value()
    given = replace(sample, family=replace(family, increasing=False), inputs=inputs).value(mapped)
    if not _close(given, expected, 1e-7):
        yield (
            f"from_solved gives another curve than solve_as, off by {_gap(given, expected)}. "
            "Mend from_solved."
        )
    solved = replace(solved, example={n: float(v[0, 0]) for n, v in coef.items()})
    inner = _Sample(solved, inputs, _around_example(solved, sample.rng, 0.1), sample.rng)
    for check in (_purity, _shapes, _linearity, _derivatives):
        yield from (f"of solve_as, {said}" for said in check(inner))


def _binding(sample: _Sample) -> Iterator[str]:
    family = sample.family
    names = tuple(f"input_{i}" for i in range(len(family.inputs)))
    arguments = [sample.coef[n] for n in family.coefficient_names]
    renamed = family.bind(names).evaluate(sample.inputs, arguments)
    if not np.array_equal(renamed, sample.value()):
        yield "bound to other input names it gives other values. Let no value depend on a name."
    i = family.floor_index
    plain = family.bind(increasing=False).evaluate(sample.inputs, arguments)
    mirrored = family.bind(increasing=True).evaluate(sample.inputs, arguments)
    expected = plain if i is None else 2 * arguments[i] - plain
    if not _close(mirrored, expected, _SAME):
        yield f"increasing=True is not the form mirrored at its floor: {_gap(mirrored, expected)}."


def _json(sample: _Sample) -> Iterator[str]:
    family = sample.family
    if family.name not in list_laws() or get_law(family.name, family.inputs) != family:
        return
    law = family.with_coef(family.example, name="example", validity=((family.inputs[0], 1.0, 2.0),))
    if law_from_dict(json.loads(json.dumps(law.to_dict()))) != law:
        yield "to_dict and law_from_dict do not restore it. Keep coefficients plain floats."


_CHECKS: tuple[tuple[str, _Check], ...] = (
    ("purity", _purity),
    ("shapes", _shapes),
    ("finite values", _finite),
    ("linear claim", _linearity),
    ("derivatives", _derivatives),
    ("rescale", _rescaling),
    ("solved form", _solved_form),
    ("binding", _binding),
    ("JSON", _json),
)


def _close(a: Any, b: Any, tolerance: float) -> bool:
    return bool(np.all(np.abs(np.asarray(a) - b) <= tolerance * np.abs(b)))


def _gap(a: Any, b: Any) -> str:
    """Largest difference relative to the second array, for a message."""
    difference = np.abs(np.asarray(a) - b)
    size = np.abs(b) + np.finfo(float).tiny
    return f"{np.max(difference / size):.2g} (relative)"
