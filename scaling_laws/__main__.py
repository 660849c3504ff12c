"""Command line: ``fit``, ``select``, ``plan``, ``report`` and ``laws``.

``python -m scaling_laws`` alone reports on measured runs of small language models.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import scaling_laws as sl
from scaling_laws.errors import DataError, PlanError, ScalingLawError, suggest
from scaling_laws.fitting.held_out import HeldOut, predict_held_out
from scaling_laws.fitting.text import plain_formula
from scaling_laws.inference.interval import check_level
from scaling_laws.quantities import as_floats

if TYPE_CHECKING:
    import pandas as pd

    from scaling_laws.data.read_report import ReadReport
    from scaling_laws.inference.backtest import Backtest

_HELD_OUT_ABOVE = 0.1  # of the largest compute
_AHEAD = (10.0, 100.0)
_BUNDLED, _UNIT = "tiny_lm", "nats/byte"
_SELECT = "select"
_EXITS = "Exit status: 0 done; 1 no answer, and why on standard error; 2 wrong usage."
_EPILOG = f"""\
Without a command, report. {_EXITS}
"""
_REPORT_EPILOG = f"""\
Without TABLE: the bundled runs. Without --law: laws are weighed by backtests and predict together,
and the heaviest one is reported as the fit. Runs above a tenth of the largest compute are held out,
predicted and compared; then all runs are fitted. {_EXITS}
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; default those of the process.

    Returns
    -------
    int
        0; 1 where there is no answer, after a message on standard error; 2 for wrong usage.

    Examples
    --------
    >>> main(["plan", "HOFFMANN_2022", "--target", "1.5"])
    for_target(loss=1.5), Hoffmann et al. 2022 (rounded)
    no plan reaches this
    target_below_floor: loss 1.5 is at or below the floor 1.69: no plan reaches it. Ask for less.
    1
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        options = _parsed(words)
    except SystemExit as stop:  # --help, or a usage error that argparse has explained
        return 0 if stop.code in (0, None) else 2
    try:
        found = options.run(options)
        print(json.dumps(found.to_dict(), allow_nan=False) if options.json else found, flush=True)
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ScalingLawError, OSError) as error:
        print(f"scaling_laws: {error}", file=sys.stderr)
        if options.json:
            print(json.dumps({"error": str(error), "kind": type(error).__name__}))
        return 1
    return 0 if found.answered else 1


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    """Options of a command; of a report where none is named."""
    parser, commands = _parser()
    first = words[0] if words else "report"
    if first not in commands and first not in ("-h", "--help", "--version"):
        if not first.startswith("-") and not Path(first).suffix:
            parser.error(
                f"there is no command '{first}'.{suggest(first, commands)} Commands: "
                f"{', '.join(commands)}; or name a table of runs."
            )
        words = ["report", *words]
    return parser.parse_args(words or ["report"])


def _parser() -> tuple[argparse.ArgumentParser, Mapping[str, Any]]:
    parser = argparse.ArgumentParser(
        prog="scaling_laws",
        description="Fit scaling laws, check them on held-out runs, and plan what to train.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=sl.__version__)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], Any], about: str) -> Any:
        made = commands.add_parser(
            name, help=about, description=f"{about[0].upper()}{about[1:]}.", epilog=_EXITS
        )
        made.set_defaults(run=run)
        made.add_argument("--json", action="store_true", help="print one JSON object")
        return made

    fit = command("fit", _fit, "fit one law to a table of runs")
    fit.add_argument("table", help=_TABLE_HELP)
    fit.add_argument("--law", default="chinchilla", help="name (default: %(default)s)")
    _add_runs(fit)
    _add_save(fit)
    select = command("select", _select, "weigh laws by how they extrapolate")
    select.add_argument("table", help=_TABLE_HELP)
    select.add_argument("--laws", default="", help="names, by commas (default: all that fit in)")
    select.add_argument("--along", help="direction of extrapolation: an input or flops")
    _add_runs(select)
    _add_save(select)
    plan = command("plan", _plan_of, "say what to train, from a saved fit or a published law")
    _add_plan(plan)
    report = command("report", _job, "hold out, fit, check, plan, and write a report")
    report.epilog = _REPORT_EPILOG
    report.add_argument("table", nargs="?", help=_TABLE_HELP)
    report.add_argument("--law", default=_SELECT, help="name of one law (default: several)")
    _add_runs(report)
    report.add_argument("--level", type=float, default=0.9, help=_LEVEL_HELP)
    report.add_argument(
        "--budget",
        action="append",
        type=float,
        metavar="FLOP",
        help="compute to plan for; may be repeated (default: 10 and 100 times the largest)",
    )
    report.add_argument(
        "--out", default="scaling_laws_report", help="folder (default: %(default)s)"
    )
    laws = command("laws", _laws, "list the laws, or show one")
    laws.add_argument("name", nargs="?", help="a law, by name or alias, or a published one")
    return parser, commands.choices


_DAY = 86400.0  # seconds
_BUDGETS = {
    "flops": "[FLOP]",
    "seconds": "of wall time [s]",
    "days": "of wall time [days]",
    "device_hours": "[device-hours]",
    "dollars": "[dollars]",
}
_TABLE_HELP = "runs: what read_runs reads, such as .csv, .json, .jsonl, .parquet"
_LEVEL_HELP = "mass of intervals (default: %(default)s)"


def _add_runs(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--columns", default="", help="your names, for example params=N,tokens=D,loss=val_loss")
    add("--inputs", default="", help="inputs to bind the law to, for example samples")
    add("--target", default="loss", help="measured quantity (default: %(default)s)")
    add("--seed", type=int, default=0, help="of the bootstrap (default: %(default)s)")
    add("--draws", type=int, default=1000, help="bootstrap draws (default: %(default)s)")


def _add_save(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--save", metavar="FILE", help="write the fit, for plan and scaling_laws.load"
    )


def _add_plan(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("source", help="a file that --save wrote, or a published law such as HOFFMANN_2022")
    for name, about in _BUDGETS.items():
        option = f"--{name.replace('_', '-')}"
        add(option, action="append", type=float, help=f"budget {about}; may be repeated")
    add("--target", action="append", type=float, help="value to reach; may be repeated")
    add("--hardware", metavar="NAME", help="accelerator that does the work, such as H100-SXM")
    add("--count", type=int, help="how many of them (default: 1)")
    add("--precision", help="of its products, such as fp8 (default: bf16)")
    add("--utilization", type=float, help="share of its peak that is reached (default: 0.4)")
    add("--price", type=float, dest="price_per_hour", help="dollars per device and hour")
    add("--params", type=float, help="model size that is given [count]")
    add("--limit", action="append", default=[], metavar="NAME=MOST", help="hard limit")
    add("--level", type=float, default=0.9, help=_LEVEL_HELP)


@dataclass(frozen=True)
class _Answer:
    """What a command prints, for people and for machines."""

    text: str
    content: Mapping[str, Any]
    answered: bool = True

    def __str__(self) -> str:
        return self.text

    def to_dict(self) -> Mapping[str, Any]:
        return self.content


def _fit(options: argparse.Namespace) -> _Answer:
    """Fit one law."""
    fit = sl.fit(_read(options), options.law, **_asked(options))
    if options.save:
        fit.save(options.save)
    table = fit.summary().drop(columns="role").astype(object)
    coefficients = {str(n): _finite(row) for n, row in table.to_dict(orient="index").items()}
    content = {"coefficients": coefficients, **_fit_facts(fit), "runs": len(fit.rows("fit"))}
    return _Answer("\n".join([*_reading(fit.read_report), str(fit)]), content)


def _select(options: argparse.Namespace) -> _Answer:
    """Weigh laws."""
    laws = _names(options.laws)
    selection = sl.select(_read(options), laws, along=options.along, **_asked(options))
    if options.save:
        selection.save(options.save)
    content = {
        "target": selection.target,
        "along": selection.along,
        "weights": selection.weights,
        "table": [_finite(row) for row in selection.table.to_dict(orient="records")],
        "trusted": selection.trusted,
        "notes": [n.to_dict() for n in selection.notes],
        "read": _read_facts(selection.read_report),
    }
    return _Answer("\n".join([*_reading(selection.read_report), str(selection)]), content)


def _plan_of(options: argparse.Namespace) -> _Answer:
    """Answer one question of a planner."""
    budgets = _budgets(options)
    if bool(budgets) == bool(options.target):
        raise PlanError(
            "plan takes either a budget (--flops, --seconds, --days, --device-hours, --dollars) or "
            "--target, a value to reach. With --target, the most it may take is a limit, such as "
            "--limit seconds=259200."
        )
    pairs = _pairs("--limit", options.limit, "params=7e10")
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
    return _Answer(str(plan), plan.to_dict(), bool(np.any(plan.feasible)))


def _budgets(options: argparse.Namespace) -> dict[str, Any]:
    """What may be spent, in the planner's names and units; several hold together."""
    given = {n: getattr(options, n) for n in _BUDGETS if getattr(options, n)}
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


def _laws(options: argparse.Namespace) -> _Answer:
    """List the laws, or show one."""
    published = {n: v for n, v in vars(sl.published).items() if isinstance(v, sl.Law)}
    if options.name in published:
        law = published[options.name]
        lines = [f"{options.name}: {law.reference}", plain_formula(law.family.formula)]
        lines += [f"  {n} = {v:.6g}" for n, v in law.coef.items()]
        return _Answer("\n".join(lines), law.to_dict())
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
    return _Answer("\n".join(lines), content)


def _law(family: sl.LawFamily) -> _Answer:
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
    return _Answer("\n".join([*lines, f"Source: {family.reference}"]), content)


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
        lines = _reading(self.fit.read_report)
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
            **_fit_facts(self.fit),
            "weights": None if self.selection is None else self.selection.weights,
            "stderr": _finite(self.fit.stderr),
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


def _fit_facts(fit: sl.Fit) -> dict[str, Any]:
    return {
        "law": fit.law.to_dict(),
        "target": fit.target,
        "noise": _finite({"noise": fit.noise})["noise"],
        "trusted": fit.trusted,
        "notes": [n.to_dict() for n in fit.notes],
        "digest": fit.digest,
        "read": _read_facts(fit.read_report),
    }


def _read_facts(report: ReadReport | None) -> dict[str, Any] | None:
    return None if report is None else report.to_dict()


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    """Return what `fit` and `select` are both asked for."""
    return {
        "target": options.target,
        "seed": options.seed,
        "draws": options.draws,
        "inputs": _names(options.inputs),
    }


def _names(text: str) -> list[str] | None:
    return [n.strip() for n in text.split(",") if n.strip()] or None


def _job(options: argparse.Namespace) -> _Outcome:
    """Hold out, choose, fit, backtest, plan, report."""
    check_level(options.level)
    bundled = options.table is None
    runs = sl.load_dataset(_BUNDLED) if bundled else _read(options)
    asked = _asked(options)
    remarks: list[str] = []
    selection = None
    if options.law == _SELECT:
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


def _pairs(option: str, pairs: Sequence[str], example: str) -> dict[str, str]:
    """Return name=value arguments as a mapping."""
    out = {}
    for pair in pairs:
        if not pair.strip():
            continue
        name, sign, value = (part.strip() for part in pair.partition("="))
        if not (name and sign and value):
            raise DataError(
                f"{option} takes name=value pairs, got '{pair.strip()}'. For example {example}."
            )
        out[name] = value
    return out


def _read(options: argparse.Namespace) -> pd.DataFrame:
    """Read the table as `scaling_laws.read_runs` does: names, units, one row a run."""
    path = Path(options.table)
    if not path.exists():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"there is no file '{path}'.{suggest(path.name, beside)}")
    columns = _pairs("--columns", options.columns.split(","), "params=N,tokens=D")
    return sl.read_runs(path, target=options.target, inputs=_names(options.inputs), columns=columns)


def _reading(report: ReadReport | None) -> list[str]:
    """What reading did to the table, a line each; nothing where it was read as it is."""
    steps = () if report is None else report.steps
    shown = [s for s in steps if s.reason != "text to numbers"]
    if report is None or not shown:
        return []
    head = f"{report.source}: {report.rows_read} records, {report.rows_kept} rows"
    return [head, *(f"- {s}" for s in shown)]


def _finite(values: Mapping[Any, Any]) -> dict[str, Any]:
    """Values for JSON: None where a number is not finite."""
    plain = {str(n): v.item() if isinstance(v, np.generic) else v for n, v in values.items()}
    return {n: None if isinstance(v, float) and v - v != 0 else v for n, v in plain.items()}


if __name__ == "__main__":
    sys.exit(main())
