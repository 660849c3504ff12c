"""The file format: its version, and the parts that fits and selections share, as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import asdict, is_dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from scaling_laws.data.read_report import ReadReport, report_from_dict
from scaling_laws.data.runs import Runs
from scaling_laws.inference.interval import Predictive
from scaling_laws.inference.law_error import LawError
from scaling_laws.solving.objective import Array, Huber
from scaling_laws.solving.setup import Settings

FORMAT_VERSION = 2


def write_json(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write a mapping as JSON, atomically."""
    target = Path(path)
    body = json.dumps(content, allow_nan=False)
    scratch = target.with_name(target.name + ".part")
    scratch.write_text(body, encoding="utf-8")
    scratch.replace(target)


def plain(value: Any) -> Any:
    """JSON-ready copy: arrays as lists, numbers that are not finite as None."""
    if isinstance(value, np.ndarray):
        return [plain(v) for v in value.tolist()]
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, Collection) and not isinstance(value, str):
        return [plain(v) for v in (sorted(value, key=repr) if isinstance(value, Set) else value)]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Decimal | Fraction):
        value = float(value)
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def array_of(values: Any) -> Array:
    """Floats of a JSON list; None becomes NaN."""
    array = np.array(values, dtype=object).astype(float)
    if np.isinf(array).any():
        raise ValueError("a number is too large for a float")
    return array


def options_to_dict(settings: Settings) -> dict[str, Any]:
    """Return the options of a fitter or selector as a JSON-ready mapping."""
    options = {n: getattr(settings, n) for n in type(settings).__dataclass_fields__}
    made = {
        n: asdict(v) if is_dataclass(v) and not isinstance(v, type) else v
        for n, v in options.items()
    }
    return {n: plain(v) for n, v in made.items()}


def options_from_dict(data: Mapping[str, Any]) -> dict[str, Any]:
    """Restore options from `options_to_dict`; a calibration is left as it is."""
    options = dict(data)
    options["robust"] = None if options["robust"] is None else Huber(**options["robust"])
    for name in ("bounds", "ties", "priors"):
        pairs = options[name].items()
        options[name] = {k: tuple(v) if isinstance(v, list) else v for k, v in pairs}
    options["bounds"] = {
        k: (-np.inf if low is None else low, np.inf if high is None else high)
        for k, (low, high) in options["bounds"].items()
    }
    return options


def target_from_dict(data: Mapping[str, Any]) -> str:
    """Restore the name of the target; ValueError if it is none."""
    if not isinstance(data["target"], str):
        raise ValueError(f"the target is {data['target']!r}")
    return data["target"]


def ranges_from_dict(
    data: Mapping[str, Any], inputs: Sequence[str]
) -> dict[str, tuple[float, float]]:
    """Restore the measured ranges of a law's inputs; ValueError if one is missing or none."""
    ranges = {n: (float(r[0]), float(r[1])) for n, r in data.items()}
    sound = all(-np.inf < low <= high < np.inf for low, high in ranges.values())
    if not sound or not set(inputs) <= set(ranges):
        raise ValueError(f"the ranges {ranges} are not those of {tuple(inputs)}")
    return ranges


def law_error_from_dict(data: Mapping[str, Any] | None, inputs: Sequence[str]) -> LawError | None:
    """Restore the law error of a file; None where it has none."""
    if data is None:
        return None
    spans = ranges_from_dict(data["largest"], inputs)
    rates = {n: float(v) for n, v in data["rates"].items()}
    if not all(0 <= rate < np.inf for rate in rates.values()):
        raise ValueError(f"the rates of the law error are {rates}")
    return LawError(rates, spans)


def check_draws(predictive: Predictive) -> None:
    """Refuse draws of a file that do not belong together.

    Raises
    ------
    ValueError
        They do not.
    """
    spread = predictive.spread
    parts = [predictive.z_law, predictive.z_run]
    parts += [] if spread is None else [*spread.z.values(), spread.factor]
    if any(part.shape != (len(predictive.coef),) for part in parts):
        raise ValueError("the draws differ in number")
    numbers = [predictive.values, predictive.coef, *parts]
    if predictive.values.shape != (len(predictive.family.coefficients),):
        raise ValueError("coefficients are missing")
    if any(np.isnan(n).any() for n in numbers) or predictive.noise < 0:
        raise ValueError("a draw is not a number")


def report_to_dict(report: ReadReport | None) -> Any:
    """Return the report of a reading as a JSON-ready mapping."""
    return None if report is None else plain(report.to_dict())


def report_of_file(data: Mapping[str, Any]) -> ReadReport | None:
    """Report of a reading that a file holds; older files hold none."""
    stored = data.get("read_report")
    return None if stored is None else report_from_dict(stored)


def runs_to_dict(runs: Runs) -> dict[str, Any]:
    """Return rows as a JSON-ready mapping."""
    return {
        "inputs": list(runs.inputs),
        "target": runs.target,
        "x": plain(list(runs.x)),
        "y": plain(runs.y),
        "weights": plain(runs.weights),
        "clusters": [int(c) for c in runs.clusters],
        "index": [_label(i) for i in runs.index],
        "flops": None if runs.flops is None else plain(runs.flops),
    }


def runs_from_dict(data: Mapping[str, Any], report: ReadReport | None = None) -> Runs:
    """Restore rows from `runs_to_dict`."""
    return Runs(
        inputs=tuple(data["inputs"]),
        target=data["target"],
        x=tuple(array_of(v) for v in data["x"]),
        y=array_of(data["y"]),
        weights=array_of(data["weights"]),
        clusters=np.array(data["clusters"], dtype=np.uint64),
        index=tuple(map(_label_of, data["index"])),
        flops=None if data["flops"] is None else array_of(data["flops"]),
        notes=(),
        read_report=report,
    )


def _label(label: Any) -> Any:
    """JSON-ready label of a row: text and numbers as they are, tuples in full, else its text."""
    label = label.item() if isinstance(label, np.generic) else label
    if isinstance(label, tuple):
        return {"tuple": [_label(part) for part in label]}
    if isinstance(label, float) and not np.isfinite(label):
        return {"float": str(label)}
    return label if isinstance(label, int | float | str) else str(label)


def _label_of(saved: Any) -> Any:
    """Restore a label from `_label`."""
    if not isinstance(saved, Mapping):
        return saved
    if "tuple" in saved:
        return tuple(map(_label_of, saved["tuple"]))
    return float(saved["float"])
