"""Command line: hold out, fit, backtest, plan and report, on your table or the bundled runs.

``python -m scaling_laws`` alone shows the whole path on measured runs of small language models.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import scaling_laws as sl
from scaling_laws.errors import DataError, ScalingLawError, suggest
from scaling_laws.fitting.held_out import HeldOut, predict_held_out
from scaling_laws.inference.interval import check_level

if TYPE_CHECKING:
    import pandas as pd

    from scaling_laws.inference.backtest import Backtest

_HELD_OUT_ABOVE = 0.1  # of the largest compute
_AHEAD = (10.0, 100.0)
_BUNDLED, _UNIT = "tiny_lm", "nats/byte"
_SELECT = "select"
_EPILOG = """\
Without TABLE: the bundled runs. Without --law: laws are weighed by backtests and predict together,
and the heaviest one is reported as the fit. Runs above a tenth of the largest compute are held out,
predicted and compared; then all runs are fitted. Exit status: 0 done, 2 something is wrong with the
request or the data.
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
        0, or 2 after a message on standard error.

    Examples
    --------
    >>> main(["--draws", "0", "--level", "0.9", "missing.csv"])
    2
    """
    try:
        options = _parser().parse_args(argv)
    except SystemExit as stop:  # --help, or a usage error that argparse has explained
        return 0 if stop.code in (0, None) else 2
    try:
        found = _job(options)
    except ScalingLawError as error:
        print(f"scaling_laws: {error}", file=sys.stderr)
        return 2
    print(json.dumps(found.to_dict(), allow_nan=False) if options.json else found)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scaling_laws",
        description="Fit a scaling law, check it on held-out runs, plan, and write a report.",
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("table", nargs="?", help="runs: .csv, .json, .jsonl or .parquet")
    add("--columns", default="", help="your names, for example params=N,tokens=D,loss=val_loss")
    add("--law", default=_SELECT, help="name of one law (default: several, by backtest)")
    add("--inputs", default="", help="inputs to bind the law to, for example samples")
    add("--target", default="loss", help="measured quantity (default: %(default)s)")
    add(
        "--budget",
        action="append",
        type=float,
        metavar="FLOP",
        help="compute to plan for; may be repeated (default: 10 and 100 times the largest)",
    )
    add("--out", default="scaling_laws_report", help="folder (default: %(default)s)")
    add("--level", type=float, default=0.9, help="mass of intervals (default: %(default)s)")
    add("--seed", type=int, default=0, help="of the bootstrap (default: %(default)s)")
    add("--draws", type=int, default=1000, help="bootstrap draws (default: %(default)s)")
    add("--json", action="store_true", help="print one JSON object instead of a summary")
    return parser


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

    def __str__(self) -> str:
        lines = [] if self.selection is None else [str(self.selection)]
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
            "law": self.fit.law.to_dict(),
            "target": self.fit.target,
            "weights": None if self.selection is None else self.selection.weights,
            "stderr": _finite(self.fit.stderr),
            "noise": _finite({"noise": self.fit.noise})["noise"],
            "trusted": self.fit.trusted,
            "notes": [n.to_dict() for n in self.fit.notes],
            "digest": self.fit.digest,
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


def _job(options: argparse.Namespace) -> _Outcome:
    """Hold out, choose, fit, backtest, plan, report."""
    check_level(options.level)
    bundled = options.table is None
    runs = sl.load_dataset(_BUNDLED) if bundled else _read(Path(options.table))
    asked: dict[str, Any] = {"target": options.target, "seed": options.seed, "draws": options.draws}
    names = [n.strip() for n in options.inputs.split(",") if n.strip()]
    asked["inputs"] = names or None
    columns = _columns(options.columns)
    remarks: list[str] = []
    selection = None
    if options.law == _SELECT:
        selection = sl.select(runs, columns=columns, **asked)
        fit = _heaviest(selection)
    else:
        fit = sl.fit(runs, options.law, columns=columns, **asked)
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


def _columns(text: str) -> dict[str, str]:
    pairs = [pair for pair in text.split(",") if pair.strip()]
    out = {}
    for pair in pairs:
        name, sign, column = (part.strip() for part in pair.partition("="))
        if not (name and sign and column):
            raise DataError(
                f"--columns takes name=column pairs, got '{pair.strip()}'. For example "
                "params=N,tokens=D,loss=val_loss."
            )
        out[name] = column
    return out


def _read(path: Path) -> pd.DataFrame:
    """Read a table by its suffix."""
    import pandas as pd

    readers: Mapping[str, Any] = {
        ".csv": pd.read_csv,
        ".json": pd.read_json,
        ".jsonl": lambda p: pd.read_json(p, lines=True),
        ".parquet": pd.read_parquet,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"cannot tell the format of '{path}' from its name. Use {', '.join(readers)}."
        )
    if not path.is_file():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"there is no file '{path}'.{suggest(path.name, beside)}")
    try:
        table: pd.DataFrame = reader(path)
    except ImportError:
        raise DataError(
            "reading parquet needs pyarrow. Install it, or save the table as CSV."
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read '{path}': {error}") from None
    return table


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    """Numbers for JSON: None where not finite."""
    return {n: v if v - v == 0 else None for n, v in values.items()}


if __name__ == "__main__":
    sys.exit(main())
