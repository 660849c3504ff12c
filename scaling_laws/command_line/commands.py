"""The commands ``fit``, ``select``, ``plan`` and ``laws``."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import scaling_laws as sl
from scaling_laws.command_line.answers import (
    Answer,
    finite_values,
    fit_facts,
    read_facts,
    reading_lines,
)
from scaling_laws.command_line.options import (
    BUDGETS,
    fit_options,
    read_table,
    split_names,
    split_pairs,
)
from scaling_laws.errors import PlanError, suggest
from scaling_laws.fitting.text import plain_formula
from scaling_laws.quantities import as_floats

_DAY = 86400.0  # seconds


def fit_law(options: argparse.Namespace) -> Answer:
    """Fit one law."""
    fit = sl.fit(read_table(options), options.law, **fit_options(options))
    if options.save:
        fit.save(options.save)
    table = fit.summary().drop(columns="role").astype(object)
    coefficients = {str(n): finite_values(row) for n, row in table.to_dict(orient="index").items()}
    content = {"coefficients": coefficients, **fit_facts(fit), "runs": len(fit.rows("fit"))}
    return Answer("\n".join([*reading_lines(fit.read_report), str(fit)]), content)


def select_laws(options: argparse.Namespace) -> Answer:
    """Weigh laws."""
    laws = split_names(options.laws)
    selection = sl.select(read_table(options), laws, along=options.along, **fit_options(options))
    if options.save:
        selection.save(options.save)
    content = {
        "target": selection.target,
        "along": selection.along,
        "weights": selection.weights,
        "table": [finite_values(row) for row in selection.table.to_dict(orient="records")],
        "trusted": selection.trusted,
        "notes": [n.to_dict() for n in selection.notes],
        "read": read_facts(selection.read_report),
    }
    return Answer("\n".join([*reading_lines(selection.read_report), str(selection)]), content)


def plan_training(options: argparse.Namespace) -> Answer:
    """Answer one question of a planner."""
    budgets = _budgets(options)
    if bool(budgets) == bool(options.target):
        raise PlanError(
            "plan takes either a budget (--flops, --seconds, --days, --device-hours, --dollars) or "
            "--target, a value to reach. With --target, the most it may take is a limit, such as "
            "--limit seconds=259200."
        )
    pairs = split_pairs("--limit", options.limit, "params=7e10")
    limits = {n: float(as_floats(n, v)) for n, v in pairs.items()}
    planner = sl.Planner(
        _source(options.source),
        hardware=_hardware(options, {*budgets, *limits}),
        limits=limits,
        level=options.level,
    )
    asked = budgets or {"target": _one_or_many(options.target)}
    if options.params is None:
        plan = planner.for_budget(**asked) if budgets else planner.for_target(**asked)
    elif set(asked) <= {"flops", "target"}:
        plan = planner.for_params(options.params, **asked)
    else:
        plan = replace(planner, fixed={"params": options.params}).for_budget(**asked)
    return Answer(str(plan), plan.to_dict(), bool(np.any(plan.feasible)))


def _budgets(options: argparse.Namespace) -> dict[str, Any]:
    """What may be spent, in the planner's names and units; several hold together."""
    given = {n: getattr(options, n) for n in BUDGETS if getattr(options, n)}
    if {"seconds", "days"} <= set(given):
        raise PlanError("--seconds and --days are both wall time. Give one of them.")
    if "days" in given:
        given["seconds"] = [_DAY * d for d in given.pop("days")]
    return {n: _one_or_many(v) for n, v in given.items()}


def _hardware(options: argparse.Namespace, measures: Collection[str]) -> sl.Hardware | None:
    """Return the machine that is named; ``measures`` are what it is asked for."""
    names = ("count", "precision", "utilization", "price_per_hour")
    more = {n: getattr(options, n) for n in names if getattr(options, n) is not None}
    needs = [n for n in ("seconds", "device_hours", "dollars") if n in measures]
    if options.hardware is None:
        if more or needs:
            raise PlanError(
                f"{', '.join([*more, *needs])}: of which machine? Name it and how many there are, "
                "such as --hardware H100-SXM --count 8."
            )
        return None
    if "dollars" in needs and "price_per_hour" not in more:
        raise PlanError("a sum of dollars needs --price, in dollars per device and hour.")
    return sl.get_accelerator(options.hardware, **more)


def _one_or_many(values: Sequence[float]) -> Any:
    return values[0] if len(values) == 1 else list(values)


def _source(name: str) -> Any:
    """Return a published law, or the fit or selection of a file."""
    known = {n: v for n, v in vars(sl.published).items() if isinstance(v, sl.Law)}
    if name in known:
        return known[name]
    if not Path(name).suffix:
        raise PlanError(
            f"'{name}' is neither a saved fit nor a published law.{suggest(name, known)} Published "
            f"laws: {', '.join(known)}."
        )
    found = sl.load(name)
    if isinstance(found, sl.GroupedFit | sl.GroupedSelection):
        raise PlanError(f"'{name}' holds several groups. Save the fit of one of them.")
    return found


def show_laws(options: argparse.Namespace) -> Answer:
    """List the laws, or show one."""
    published = {n: v for n, v in vars(sl.published).items() if isinstance(v, sl.Law)}
    if options.name in published:
        law = published[options.name]
        lines = [f"{options.name}: {law.reference}", plain_formula(law.family.formula)]
        lines += [f"  {n} = {v:.6g}" for n, v in law.coef.items()]
        return Answer("\n".join(lines), law.to_dict())
    if options.name is not None:
        return _law(sl.get_law(options.name))
    families = [sl.get_law(n) for n in sl.list_laws()]
    width = max(len(f.name) for f in families)
    lines = [f"{f.name:{width}}  {', '.join(f.inputs)}" for f in families]
    lines += ["", "With published numbers, for plan:", *published]
    content = {
        "laws": [{"name": f.name, "inputs": list(f.inputs)} for f in families],
        "published": list(published),
    }
    return Answer("\n".join(lines), content)


def _law(family: sl.LawFamily) -> Answer:
    lines = [f"{family.name} of {', '.join(family.inputs)}", plain_formula(family.formula)]
    lines += [f"  {c.name}: {c.meaning or c.role}" for c in family.coefficients]
    content = {
        "name": family.name,
        "inputs": list(family.inputs),
        "aliases": list(family.aliases),
        "coefficients": list(family.coefficient_names),
        "formula": family.formula,
        "reference": family.reference,
    }
    return Answer("\n".join([*lines, f"Source: {family.reference}"]), content)
