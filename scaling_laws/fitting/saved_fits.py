"""Fits as JSON: names and numbers, never code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from scaling_laws.errors import Note
from scaling_laws.fitting.file_format import (
    FORMAT_VERSION,
    array_of,
    check_draws,
    law_error_from_dict,
    options_from_dict,
    options_to_dict,
    plain,
    ranges_from_dict,
    report_of_file,
    report_to_dict,
    runs_from_dict,
    runs_to_dict,
    target_from_dict,
)
from scaling_laws.fitting.fitter import Fitter
from scaling_laws.fitting.result import Fit
from scaling_laws.inference.interval import Predictive
from scaling_laws.inference.trend import NoiseTrend
from scaling_laws.laws.registry import law_from_dict

_ROWS_KEPT = 100_000


def fit_to_dict(fit: Fit, rows: bool | None = None) -> dict[str, Any]:
    """Return a JSON-ready mapping of a fit; ``rows`` as `Fit.save`."""
    from scaling_laws import __version__

    keep = rows if rows is not None else fit.runs is not None and len(fit.runs) <= _ROWS_KEPT
    p = fit.predictive
    return {
        "format": FORMAT_VERSION,
        "kind": "Fit",
        "version": __version__,
        "law": fit.law.to_dict(),
        "target": fit.target,
        "options": options_to_dict(fit.fitter),
        "predictive": {
            "coef": plain(p.coef),
            "z_law": plain(p.z_law),
            "z_run": plain(p.z_run),
            "noise": plain(p.noise),
            "residual": p.residual,
            "bounds": list(p.bounds),
            "law_error": None if p.law_error is None else asdict(p.law_error),
            "trend": None if p.trend is None else asdict(p.trend),
        },
        "covariance": plain(fit.covariance),
        "at_bound": list(fit.at_bound),
        "objective": fit.objective,
        "delta": plain(fit.delta),
        "residuals": plain(fit.residuals),
        "ranges": {n: list(r) for n, r in fit.ranges.items()},
        "digest": fit.digest,
        "starts": [fit.starts_agreeing, fit.starts],
        "notes": [n.to_dict() for n in fit.notes],
        "read_report": report_to_dict(fit.read_report),
        "runs": runs_to_dict(fit.runs) if keep and fit.runs is not None else None,
    }


def fit_from_dict(data: Mapping[str, Any]) -> Fit:
    """Restore a fit from `fit_to_dict`."""
    law = law_from_dict(data["law"])
    options = options_from_dict(data["options"])
    p = data["predictive"]
    count = len(law.values)
    report = report_of_file(data)
    predictive = Predictive(
        family=law.family,
        values=np.array(law.values),
        coef=array_of(p["coef"]).reshape(-1, count),
        z_law=array_of(p["z_law"]),
        z_run=array_of(p["z_run"]),
        noise=float("nan") if p["noise"] is None else float(p["noise"]),
        residual=p["residual"],
        bounds=(float(p["bounds"][0]), float(p["bounds"][1])),
        law_error=law_error_from_dict(p.get("law_error"), law.inputs),
        trend=None if p.get("trend") is None else NoiseTrend(**p["trend"]),  # new in format 2
    )
    check_draws(predictive)
    return Fit(
        law=law,
        target=target_from_dict(data),
        fitter=Fitter(**options),
        predictive=predictive,
        covariance=array_of(data["covariance"]).reshape(count, count),
        at_bound=tuple(data["at_bound"]),
        objective=float(data["objective"]),
        delta=float("inf") if data["delta"] is None else float(data["delta"]),
        residuals=array_of(data["residuals"]),
        runs=None if data["runs"] is None else runs_from_dict(data["runs"], report),
        ranges=ranges_from_dict(data["ranges"], law.inputs),
        digest=data["digest"],
        starts=int(data["starts"][1]),
        starts_agreeing=int(data["starts"][0]),
        notes=tuple(Note(**n) for n in data["notes"]),
        read_report=report,
    )
