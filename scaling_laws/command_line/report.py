"""The command ``report``: hold out, choose, fit, backtest, plan, and write a page."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import scaling_laws as sl
from scaling_laws.command_line.answers import finite_values, fit_facts, reading_lines
from scaling_laws.command_line.options import SELECT, fit_options, read_table
from scaling_laws.errors import ScalingLawError
from scaling_laws.fitting.held_out import HeldOut, predict_held_out
from scaling_laws.inference.interval import check_level

if TYPE_CHECKING:
    import pandas as pd

    from scaling_laws.inference.backtest import Backtest

_HELD_OUT_ABOVE = 0.1  # of the largest compute
_AHEAD = (10.0, 100.0)
_BUNDLED, _UNIT = "tiny_lm", "nats/byte"


@dataclass(frozen=True)
class _Outcome:
    """What a run of the command found; prints as the summary."""

    fit: sl.Fit
    selection: sl.Selection | None
    held_out: HeldOut | None
    backtest: Backtest | None
    plan: sl.Plan | None
    page: Path
    remarks: tuple[str, ...]
    answered = True

    def __str__(self) -> str:
        lines = reading_lines(self.fit.read_report)
        lines += [] if self.selection is None else [str(self.selection)]
        lines += [str(self.fit), *self.remarks]
        if self.backtest is not None:
            table = self.backtest.table
            lines.append(
                f"backtest along {self.backtest.along}: mean |error| {table.error.mean():.2%} "
                f"over {len(table)} cuts, {table.distance.max():.1f} decades at most"
            )
        if self.plan is not None:
            lines += _plan_lines(self.fit, self.plan)
        return "\n".join([*lines, f"report: {self.page}"])

    def to_dict(self) -> dict[str, Any]:
        checked = self.held_out
        return {
            **fit_facts(self.fit),
            "weights": None if self.selection is None else self.selection.weights,
            "stderr": finite_values(self.fit.stderr),
            "held_out": None
            if checked is None
            else {
                "runs": len(checked.table),
                "inside": checked.inside,
                "level": checked.level,
                "error": checked.error,
                "relative": checked.relative,
            },
            "backtest": None
            if self.backtest is None
            else self.backtest.table.to_dict(orient="records"),
            "plan": None if self.plan is None else self.plan.to_dict(),
            "remarks": list(self.remarks),
            "report": str(self.page),
        }


def report_on_runs(options: argparse.Namespace) -> _Outcome:
    """Hold out, choose, fit, backtest, plan, report."""
    check_level(options.level)
    bundled = options.table is None
    runs = sl.load_dataset(_BUNDLED) if bundled else read_table(options)
    asked = fit_options(options)
    remarks: list[str] = []
    selection = None
    if options.law == SELECT:
        selection = sl.select(runs, **asked)
        fit = _heaviest(selection)
    else:
        fit = sl.fit(runs, options.law, **asked)
    train, test = _split(fit)
    held_out = _check(fit, selection, train, test, options.level, remarks)
    back = _backtest(fit, remarks)
    page = sl.report(
        fit,
        options.out,
        budgets=options.budget,
        backtest=back,
        held_out=held_out,
        selection=selection,
        level=options.level,
        unit=_UNIT if bundled and options.target == "loss" else None,
        remarks=remarks,
    )
    return _Outcome(fit, selection, held_out, back, _plan(fit, options), page, tuple(remarks))


def _split(fit: sl.Fit) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows up to, and above, a tenth of the largest compute (or scale, where it is unknown)."""
    assert fit.runs is not None
    size = fit.runs.compute()
    order = np.argsort(size, kind="stable")
    size, rows = size[order], fit.runs.to_frame().iloc[order]
    small = size <= _HELD_OUT_ABOVE * size.max()
    return rows[small], rows[~small]


def _heaviest(selection: sl.Selection) -> sl.Fit:
    """Fit of the law that weighs most, all runs counting alike."""
    law = next(iter(selection.weights))
    family = next(f for f in selection.families if f.name == law)
    options = sl.Fitter(draws=selection.selector.draws, seed=selection.selector.seed)
    return options.fit_checked(selection.runs, family)


def _check(
    fit: sl.Fit,
    selection: sl.Selection | None,
    train: pd.DataFrame,
    test: pd.DataFrame,
    level: float,
    remarks: list[str],
) -> HeldOut | None:
    """Fit, or select among laws for, the small runs alone and predict the others."""
    asked: dict[str, Any] = {
        "target": fit.target,
        "weights": "weight",
        "cluster": "cluster",
        "seed": fit.fitter.seed,
        "draws": fit.fitter.draws,
    }
    try:
        small: sl.Fit | sl.Selection
        if selection is None:
            small = sl.fit(train, fit.law.family, **asked)
        else:
            small = sl.select(train, selection.families, inputs=fit.law.inputs, **asked)
        checked = predict_held_out(small, test, level=level)
    except ScalingLawError as error:
        remarks.append(f"Not checked on held-out runs: {error}")
        return None
    what = "compute" if "flops" in fit.ranges else " times ".join(fit.law.inputs)
    remarks.append(
        f"Held out: the {len(test)} runs above a tenth of the largest {what}, predicted from the "
        f"{len(train)} others up to {checked.table['extrapolation'].max():.1f} decades beyond: "
        f"{checked}."
    )
    return checked


def _backtest(fit: sl.Fit, remarks: list[str]) -> Backtest | None:
    along = "flops" if "flops" in fit.ranges else fit.law.inputs[0]
    assert fit.runs is not None
    try:
        return sl.backtest(
            fit.runs.to_frame(), fit.law.family, along=along, target=fit.target, weights="weight"
        )
    except ScalingLawError as error:
        remarks.append(f"Not backtested: {error}")
        return None


def _plan(fit: sl.Fit, options: argparse.Namespace) -> sl.Plan | None:
    if set(fit.law.inputs) not in ({"params", "tokens"}, {"flops"}):
        return None
    budgets = options.budget or [factor * fit.ranges["flops"][1] for factor in _AHEAD]
    return sl.Planner(fit, level=options.level).for_budget(flops=budgets)


def _plan_lines(fit: sl.Fit, plan: sl.Plan) -> list[str]:
    """One line a budget: how far beyond the data, then each quantity with its interval."""
    lines = []
    for row in plan.to_frame().to_dict(orient="records"):
        beyond = row["flops"] / fit.ranges["flops"][1]
        cells = []
        for name in dict.fromkeys((*(n for n in fit.law.inputs if n != "flops"), fit.target)):
            digits = ".4g" if name == fit.target else ".3g"
            low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
            span = "" if low is None else f" ({low:{digits}} to {high:{digits}})"
            cells.append(f"{name} {row[name]:{digits}}{span}")
        lines.append(
            f"plan for {row['flops']:.3g} FLOP, {beyond:.3g}x the largest measured: "
            + ", ".join(cells)
        )
    return lines
