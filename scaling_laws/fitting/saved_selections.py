"""Selections as JSON: names and numbers, never code."""

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
from scaling_laws.fitting.selected_groups import GroupedSelection, with_siblings
from scaling_laws.fitting.selection import Selection
from scaling_laws.fitting.selector import Selector
from scaling_laws.inference.calibration import Calibration
from scaling_laws.inference.interval import Predictive, Spread
from scaling_laws.laws.combined import combine
from scaling_laws.laws.family import Law, LawFamily
from scaling_laws.laws.registry import get_law


def selection_to_dict(selection: Selection) -> dict[str, Any]:
    """Return a JSON-ready mapping of a selection, its rows included."""
    from scaling_laws import __version__

    p = selection.predictive
    assert p.spread is not None
    return {
        "format": FORMAT_VERSION,
        "kind": "Selection",
        "version": __version__,
        "target": selection.target,
        "along": selection.along,
        "options": options_to_dict(selection.selector),
        "families": [_family_to_dict(f) for f in selection.families],
        "components": [_family_to_dict(f) for f in p.family.function.components],  # type: ignore[attr-defined]
        "predictive": {
            "values": plain(p.values),
            "coef": plain(p.coef),
            "z_law": plain(p.z_law),
            "z_run": plain(p.z_run),
            "noise": plain(p.noise),
            "residual": p.residual,
            "bounds": plain(list(p.bounds)),
            "law_error": None if p.law_error is None else asdict(p.law_error),
            "spread": {n: plain(v) for n, v in asdict(p.spread).items()},
        },
        "table": [plain(row) for row in selection.table.to_dict(orient="records")],
        "ranges": {n: list(r) for n, r in selection.ranges.items()},
        "notes": [n.to_dict() for n in selection.notes],
        "read_report": report_to_dict(selection.read_report),
        "runs": runs_to_dict(selection.runs),
    }


def selection_from_dict(data: Mapping[str, Any]) -> Selection:
    """Restore a selection from `selection_to_dict`."""
    import pandas as pd

    options = options_from_dict(data["options"])
    if options["calibration"] is not None:
        options["calibration"] = Calibration.from_dict(options["calibration"])
    if options["focuses"] is not None:
        options["focuses"] = tuple(options["focuses"])
    predictive = _predictive(data["predictive"], [_family(f) for f in data["components"]])
    check_draws(predictive)
    values = tuple(float(v) for v in predictive.values)
    table = pd.DataFrame(data["table"])
    for name in ("focus", "error", "weight"):
        table[name] = array_of(list(table[name]))
    table.loc[(table["law"] == "constant") & table["focus"].isna(), "focus"] = np.inf
    return Selection(
        law=Law(predictive.family, values, name="selection"),
        target=target_from_dict(data),
        predictive=predictive,
        along=data["along"],
        table=table,
        ranges=ranges_from_dict(data["ranges"], predictive.family.inputs),
        runs=runs_from_dict(data["runs"], report_of_file(data)),
        selector=Selector(**options),
        families=tuple(_family(f) for f in data["families"]),
        notes=tuple(Note(**n) for n in data["notes"]),
    )


def grouped_selection_to_dict(grouped: GroupedSelection) -> dict[str, Any]:
    """Return a JSON-ready mapping of the selections of all groups."""
    return {
        "format": FORMAT_VERSION,
        "kind": "GroupedSelection",
        "version": selection_to_dict(grouped.selections[0])["version"],
        "group": grouped.group,
        "groups": list(grouped.groups),
        "selections": [selection_to_dict(s) for s in grouped.selections],
    }


def grouped_selection_from_dict(data: Mapping[str, Any]) -> GroupedSelection:
    """Restore selections of groups from `grouped_selection_to_dict`."""
    selections = [selection_from_dict(s) for s in data["selections"]]
    return with_siblings(data["group"], tuple(data["groups"]), selections)


def _family_to_dict(family: LawFamily) -> dict[str, Any]:
    return {
        "name": family.name,
        "inputs": list(family.inputs),
        "increasing": family.increasing,
    }


def _family(data: Mapping[str, Any]) -> LawFamily:
    return get_law(data["name"]).bind(data["inputs"], increasing=data["increasing"])


def _predictive(data: Mapping[str, Any], components: list[LawFamily]) -> Predictive:
    low, high = (np.nan if b is None else float(b) for b in data["bounds"])
    bounds = (-np.inf if np.isnan(low) else low, np.inf if np.isnan(high) else high)
    family = combine(components, data["residual"], bounds)
    s = data["spread"]
    count = len(family.coefficients)
    return Predictive(
        family=family,
        values=array_of(data["values"]),
        coef=array_of(data["coef"]).reshape(-1, count),
        z_law=array_of(data["z_law"]),
        z_run=array_of(data["z_run"]),
        noise=float("nan") if data["noise"] is None else float(data["noise"]),
        residual=data["residual"],
        bounds=bounds,
        law_error=law_error_from_dict(data["law_error"], family.inputs),
        spread=Spread(
            candidates=int(s["candidates"]),
            coefficient_share=float(s["coefficient_share"]),
            moved=array_of(s["moved"]).reshape(-1, count),
            size=array_of(s["size"]),
            z={n: array_of(v) for n, v in s["z"].items()},
            factor=array_of(s["factor"]),
            stretch=float(s["stretch"]),
            dof=float(s["dof"]),
        ),
    )
