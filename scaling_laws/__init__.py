"""Fit scaling laws, predict with intervals that hold, and plan what to train next.

``import scaling_laws as sl`` loads the standard library only; every public name is resolved on
first use.

Examples
--------
>>> import scaling_laws as sl
>>> plan = sl.Planner(sl.published.HOFFMANN_2022).for_budget(flops=5.76e23)
>>> f"{plan.best['params']:.3g} parameters, {plan.best['tokens']:.3g} tokens"
'3.22e+10 parameters, 2.98e+12 tokens'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from scaling_laws import plot as plot
    from scaling_laws import testing as testing
    from scaling_laws.data.datasets.bundled import list_datasets as list_datasets
    from scaling_laws.data.datasets.bundled import load_dataset as load_dataset
    from scaling_laws.errors import DataError as DataError
    from scaling_laws.errors import FitError as FitError
    from scaling_laws.errors import LawError as LawError
    from scaling_laws.errors import MeasureError as MeasureError
    from scaling_laws.errors import Note as Note
    from scaling_laws.errors import PlanError as PlanError
    from scaling_laws.errors import ScalingLawError as ScalingLawError
    from scaling_laws.fitting.diagnostics import Diagnosis as Diagnosis
    from scaling_laws.fitting.diagnostics import diagnose as diagnose
    from scaling_laws.fitting.fitter import Fitter as Fitter
    from scaling_laws.fitting.fitter import fit as fit
    from scaling_laws.fitting.groups import GroupedFit as GroupedFit
    from scaling_laws.fitting.result import Fit as Fit
    from scaling_laws.fitting.result import load as load
    from scaling_laws.fitting.selected_groups import GroupedSelection as GroupedSelection
    from scaling_laws.fitting.selection import Selection as Selection
    from scaling_laws.fitting.selection import select as select
    from scaling_laws.inference.backtest import backtest as backtest
    from scaling_laws.laws import published as published
    from scaling_laws.laws.family import Coefficient as Coefficient
    from scaling_laws.laws.family import Law as Law
    from scaling_laws.laws.family import LawFamily as LawFamily
    from scaling_laws.laws.registry import get_law as get_law
    from scaling_laws.laws.registry import list_laws as list_laws
    from scaling_laws.laws.registry import register as register
    from scaling_laws.measurement.meter import meter as meter
    from scaling_laws.measurement.runlog import read_log as read_log
    from scaling_laws.measurement.subsets import subsets as subsets
    from scaling_laws.measurement.sweep import grid as grid
    from scaling_laws.measurement.sweep import sweep as sweep
    from scaling_laws.planning.comparing import Comparison as Comparison
    from scaling_laws.planning.comparing import compare as compare
    from scaling_laws.planning.factors import Factors as Factors
    from scaling_laws.planning.factors import factors as factors
    from scaling_laws.planning.planner import Plan as Plan
    from scaling_laws.planning.planner import Planner as Planner
    from scaling_laws.quantities import training_flops as training_flops
    from scaling_laws.reporting import report as report
    from scaling_laws.solving.objective import Huber as Huber

_MODULES = ("published", "plot", "testing")
_HOME = {
    "published": "scaling_laws.laws.published",
    "plot": "scaling_laws.plot",
    "testing": "scaling_laws.testing",
    "list_datasets": "scaling_laws.data.datasets.bundled",
    "load_dataset": "scaling_laws.data.datasets.bundled",
    "DataError": "scaling_laws.errors",
    "FitError": "scaling_laws.errors",
    "LawError": "scaling_laws.errors",
    "MeasureError": "scaling_laws.errors",
    "Note": "scaling_laws.errors",
    "PlanError": "scaling_laws.errors",
    "ScalingLawError": "scaling_laws.errors",
    "Diagnosis": "scaling_laws.fitting.diagnostics",
    "diagnose": "scaling_laws.fitting.diagnostics",
    "Fitter": "scaling_laws.fitting.fitter",
    "fit": "scaling_laws.fitting.fitter",
    "GroupedFit": "scaling_laws.fitting.groups",
    "GroupedSelection": "scaling_laws.fitting.selected_groups",
    "Fit": "scaling_laws.fitting.result",
    "load": "scaling_laws.fitting.result",
    "Selection": "scaling_laws.fitting.selection",
    "select": "scaling_laws.fitting.selection",
    "backtest": "scaling_laws.inference.backtest",
    "Coefficient": "scaling_laws.laws.family",
    "Law": "scaling_laws.laws.family",
    "LawFamily": "scaling_laws.laws.family",
    "get_law": "scaling_laws.laws.registry",
    "list_laws": "scaling_laws.laws.registry",
    "register": "scaling_laws.laws.registry",
    "meter": "scaling_laws.measurement.meter",
    "read_log": "scaling_laws.measurement.runlog",
    "subsets": "scaling_laws.measurement.subsets",
    "grid": "scaling_laws.measurement.sweep",
    "sweep": "scaling_laws.measurement.sweep",
    "Comparison": "scaling_laws.planning.comparing",
    "compare": "scaling_laws.planning.comparing",
    "Factors": "scaling_laws.planning.factors",
    "factors": "scaling_laws.planning.factors",
    "Plan": "scaling_laws.planning.planner",
    "Planner": "scaling_laws.planning.planner",
    "training_flops": "scaling_laws.quantities",
    "report": "scaling_laws.reporting",
    "Huber": "scaling_laws.solving.objective",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    """Resolve a public name on first use, so that importing stays free."""
    home = _HOME.get(name)
    if home is None:
        from scaling_laws.errors import suggest

        raise AttributeError(
            f"module 'scaling_laws' has no attribute '{name}'.{suggest(name, _HOME)}"
        )
    module = import_module(home)
    value = module if name in _MODULES else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted([*globals(), *_HOME])
