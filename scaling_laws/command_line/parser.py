"""The options of every command, as argparse reads them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

import scaling_laws as sl
from scaling_laws.command_line.commands import fit_law, plan_training, select_laws, show_laws
from scaling_laws.command_line.options import BUDGETS, SELECT
from scaling_laws.command_line.report import report_on_runs

_EXITS = "Exit status: 0 done; 1 no answer, and why on standard error; 2 wrong usage."
_EPILOG = f"""\
Without a command, report. {_EXITS}
"""
_REPORT_EPILOG = f"""\
Without TABLE: the bundled runs. Without --law: laws are weighed by backtests and predict together,
and the heaviest one is reported as the fit. Runs above a tenth of the largest compute are held out,
predicted and compared; then all runs are fitted. {_EXITS}
"""
_TABLE_HELP = "runs: what read_runs reads, such as .csv, .json, .jsonl, .parquet"
_LEVEL_HELP = "mass of intervals (default: %(default)s)"


def build_parser() -> tuple[argparse.ArgumentParser, Mapping[str, Any]]:
    """Return the parser, and the parsers of its commands by name."""
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

    fit = command("fit", fit_law, "fit one law to a table of runs")
    fit.add_argument("table", help=_TABLE_HELP)
    fit.add_argument("--law", default="chinchilla", help="name (default: %(default)s)")
    _add_runs(fit)
    _add_save(fit)
    select = command("select", select_laws, "weigh laws by how they extrapolate")
    select.add_argument("table", help=_TABLE_HELP)
    select.add_argument("--laws", default="", help="names, by commas (default: all that fit in)")
    select.add_argument("--along", help="direction of extrapolation: an input or flops")
    _add_runs(select)
    _add_save(select)
    plan = command("plan", plan_training, "say what to train, from a saved fit or a published law")
    _add_plan(plan)
    report = command("report", report_on_runs, "hold out, fit, check, plan, and write a report")
    report.epilog = _REPORT_EPILOG
    report.add_argument("table", nargs="?", help=_TABLE_HELP)
    report.add_argument("--law", default=SELECT, help="name of one law (default: several)")
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
    laws = command("laws", show_laws, "list the laws, or show one")
    laws.add_argument("name", nargs="?", help="a law, by name or alias, or a published one")
    return parser, commands.choices


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
    for name, about in BUDGETS.items():
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
