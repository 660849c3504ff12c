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
    from scaling_laws.data.best_runs import best_over as best_over
    from scaling_laws.data.cleaning import average_metrics as average_metrics
    from scaling_laws.data.cleaning import drop_diverged as drop_diverged
    from scaling_laws.data.cleaning import drop_duplicates as drop_duplicates
    from scaling_laws.data.cleaning import drop_highest_loss as drop_highest_loss
    from scaling_laws.data.cleaning import final_only as final_only
    from scaling_laws.data.cleaning import min_step as min_step
    from scaling_laws.data.cleaning import prefer_measured as prefer_measured
    from scaling_laws.data.cleaning import smooth_metric as smooth_metric
    from scaling_laws.data.cleaning import snap_ratio as snap_ratio
    from scaling_laws.data.cleaning_step import CleaningStep as CleaningStep
    from scaling_laws.data.cleaning_step import clean as clean
    from scaling_laws.data.datasets.bundled import list_datasets as list_datasets
    from scaling_laws.data.datasets.bundled import load_dataset as load_dataset
    from scaling_laws.data.read_report import ReadReport as ReadReport
    from scaling_laws.data.read_report import read_report as read_report
    from scaling_laws.data.readers import read_runs as read_runs
    from scaling_laws.errors import DataError as DataError
    from scaling_laws.errors import FitError as FitError
    from scaling_laws.errors import LawError as LawError
    from scaling_laws.errors import MeasureError as MeasureError
    from scaling_laws.errors import Note as Note
    from scaling_laws.errors import PlanError as PlanError
    from scaling_laws.errors import ScalingLawError as ScalingLawError
    from scaling_laws.fitting.chain import Chain as Chain
    from scaling_laws.fitting.chain import chain as chain
    from scaling_laws.fitting.diagnostics import Diagnosis as Diagnosis
    from scaling_laws.fitting.diagnostics import diagnose as diagnose
    from scaling_laws.fitting.fitter import Fitter as Fitter
    from scaling_laws.fitting.fitter import fit as fit
    from scaling_laws.fitting.groups import GroupedFit as GroupedFit
    from scaling_laws.fitting.loading import load as load
    from scaling_laws.fitting.result import Fit as Fit
    from scaling_laws.fitting.selected_groups import GroupedSelection as GroupedSelection
    from scaling_laws.fitting.selection import Selection as Selection
    from scaling_laws.fitting.selector import select as select
    from scaling_laws.inference.backtest import backtest as backtest
    from scaling_laws.laws import published as published
    from scaling_laws.laws.family import Coefficient as Coefficient
    from scaling_laws.laws.family import Law as Law
    from scaling_laws.laws.family import LawFamily as LawFamily
    from scaling_laws.laws.parametrizations import Parametrization as Parametrization
    from scaling_laws.laws.parametrizations import parametrization as parametrization
    from scaling_laws.laws.registry import get_law as get_law
    from scaling_laws.laws.registry import list_laws as list_laws
    from scaling_laws.laws.registry import register as register
    from scaling_laws.laws.schedules import schedule_sums as schedule_sums
    from scaling_laws.loop.growing import Growth as Growth
    from scaling_laws.loop.growing import grow as grow
    from scaling_laws.loop.verifying import Verification as Verification
    from scaling_laws.loop.verifying import verify as verify
    from scaling_laws.measurement.learning_curve import learning_curve as learning_curve
    from scaling_laws.measurement.ledger import SweepProgress as SweepProgress
    from scaling_laws.measurement.meter import meter as meter
    from scaling_laws.measurement.recording import record as record
    from scaling_laws.measurement.recording import recorded as recorded
    from scaling_laws.measurement.runlog import read_log as read_log
    from scaling_laws.measurement.subsets import subsets as subsets
    from scaling_laws.measurement.sweep import grid as grid
    from scaling_laws.measurement.sweep import sweep as sweep
    from scaling_laws.measurement.timing import Latency as Latency
    from scaling_laws.measurement.timing import latency as latency
    from scaling_laws.measurement.token_subsets import Manifest as Manifest
    from scaling_laws.measurement.token_subsets import TokenSubset as TokenSubset
    from scaling_laws.measurement.token_subsets import manifest as manifest
    from scaling_laws.measurement.token_subsets import token_subsets as token_subsets
    from scaling_laws.planning.baseline import Baseline as Baseline
    from scaling_laws.planning.baseline import constant_exponent as constant_exponent
    from scaling_laws.planning.costs.accelerators import get_accelerator as get_accelerator
    from scaling_laws.planning.costs.accelerators import list_accelerators as list_accelerators
    from scaling_laws.planning.costs.architecture import Transformer as Transformer
    from scaling_laws.planning.costs.cost import Cost as Cost
    from scaling_laws.planning.costs.cost import FittedCost as FittedCost
    from scaling_laws.planning.costs.cost import FunctionCost as FunctionCost
    from scaling_laws.planning.costs.cost import LifetimeCost as LifetimeCost
    from scaling_laws.planning.costs.cost import ProductCost as ProductCost
    from scaling_laws.planning.costs.counting import count_notes as count_notes
    from scaling_laws.planning.costs.counting import with_embeddings as with_embeddings
    from scaling_laws.planning.costs.counting import without_embeddings as without_embeddings
    from scaling_laws.planning.costs.critical_batch import CriticalBatch as CriticalBatch
    from scaling_laws.planning.costs.critical_batch import fit_critical_batch as fit_critical_batch
    from scaling_laws.planning.costs.hardware import Hardware as Hardware
    from scaling_laws.planning.costs.hardware import serving_weight as serving_weight
    from scaling_laws.planning.costs.memory import activation_bytes as activation_bytes
    from scaling_laws.planning.costs.memory import serving_bytes as serving_bytes
    from scaling_laws.planning.costs.memory import training_bytes as training_bytes
    from scaling_laws.planning.costs.shapes import ArchitectureCost as ArchitectureCost
    from scaling_laws.planning.costs.shapes import ShapeRule as ShapeRule
    from scaling_laws.planning.costs.utilization import fit_utilization as fit_utilization
    from scaling_laws.planning.design.ladder import Ladder as Ladder
    from scaling_laws.planning.design.ladder import ladder as ladder
    from scaling_laws.planning.design.next_runs import NextRuns as NextRuns
    from scaling_laws.planning.design.next_runs import next_runs as next_runs
    from scaling_laws.planning.design.score import DesignScore as DesignScore
    from scaling_laws.planning.design.score import score_design as score_design
    from scaling_laws.planning.factors import Factors as Factors
    from scaling_laws.planning.factors import factors as factors
    from scaling_laws.planning.isoflop.analysis import IsoFLOP as IsoFLOP
    from scaling_laws.planning.isoflop.analysis import fit_isoflop as fit_isoflop
    from scaling_laws.planning.isoflop.analysis import near_minima as near_minima
    from scaling_laws.planning.isoflop.bias import parabola_bias as parabola_bias
    from scaling_laws.planning.isoflop.envelope import Envelope as Envelope
    from scaling_laws.planning.isoflop.envelope import fit_envelope as fit_envelope
    from scaling_laws.planning.isoflop.grid import isoflop_grid as isoflop_grid
    from scaling_laws.planning.limits import Limit as Limit
    from scaling_laws.planning.planner import Plan as Plan
    from scaling_laws.planning.planner import Planner as Planner
    from scaling_laws.planning.recipes.compare import Comparison as Comparison
    from scaling_laws.planning.recipes.compare import compare as compare
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
    "Chain": "scaling_laws.fitting.chain",
    "chain": "scaling_laws.fitting.chain",
    "Diagnosis": "scaling_laws.fitting.diagnostics",
    "diagnose": "scaling_laws.fitting.diagnostics",
    "Fitter": "scaling_laws.fitting.fitter",
    "fit": "scaling_laws.fitting.fitter",
    "GroupedFit": "scaling_laws.fitting.groups",
    "GroupedSelection": "scaling_laws.fitting.selected_groups",
    "Fit": "scaling_laws.fitting.result",
    "load": "scaling_laws.fitting.loading",
    "Selection": "scaling_laws.fitting.selection",
    "select": "scaling_laws.fitting.selector",
    "backtest": "scaling_laws.inference.backtest",
    "Coefficient": "scaling_laws.laws.family",
    "Law": "scaling_laws.laws.family",
    "LawFamily": "scaling_laws.laws.family",
    "Parametrization": "scaling_laws.laws.parametrizations",
    "parametrization": "scaling_laws.laws.parametrizations",
    "get_law": "scaling_laws.laws.registry",
    "list_laws": "scaling_laws.laws.registry",
    "register": "scaling_laws.laws.registry",
    "schedule_sums": "scaling_laws.laws.schedules",
    "meter": "scaling_laws.measurement.meter",
    "read_log": "scaling_laws.measurement.runlog",
    "subsets": "scaling_laws.measurement.subsets",
    "grid": "scaling_laws.measurement.sweep",
    "sweep": "scaling_laws.measurement.sweep",
    "Comparison": "scaling_laws.planning.recipes.compare",
    "compare": "scaling_laws.planning.recipes.compare",
    "Factors": "scaling_laws.planning.factors",
    "factors": "scaling_laws.planning.factors",
    "Limit": "scaling_laws.planning.limits",
    "Hardware": "scaling_laws.planning.costs.hardware",
    "serving_weight": "scaling_laws.planning.costs.hardware",
    "get_accelerator": "scaling_laws.planning.costs.accelerators",
    "list_accelerators": "scaling_laws.planning.costs.accelerators",
    "fit_utilization": "scaling_laws.planning.costs.utilization",
    "Cost": "scaling_laws.planning.costs.cost",
    "ProductCost": "scaling_laws.planning.costs.cost",
    "FunctionCost": "scaling_laws.planning.costs.cost",
    "LifetimeCost": "scaling_laws.planning.costs.cost",
    "FittedCost": "scaling_laws.planning.costs.cost",
    "ArchitectureCost": "scaling_laws.planning.costs.shapes",
    "ShapeRule": "scaling_laws.planning.costs.shapes",
    "Transformer": "scaling_laws.planning.costs.architecture",
    "training_bytes": "scaling_laws.planning.costs.memory",
    "serving_bytes": "scaling_laws.planning.costs.memory",
    "activation_bytes": "scaling_laws.planning.costs.memory",
    "CriticalBatch": "scaling_laws.planning.costs.critical_batch",
    "fit_critical_batch": "scaling_laws.planning.costs.critical_batch",
    "count_notes": "scaling_laws.planning.costs.counting",
    "with_embeddings": "scaling_laws.planning.costs.counting",
    "without_embeddings": "scaling_laws.planning.costs.counting",
    "fit_isoflop": "scaling_laws.planning.isoflop.analysis",
    "IsoFLOP": "scaling_laws.planning.isoflop.analysis",
    "near_minima": "scaling_laws.planning.isoflop.analysis",
    "parabola_bias": "scaling_laws.planning.isoflop.bias",
    "isoflop_grid": "scaling_laws.planning.isoflop.grid",
    "fit_envelope": "scaling_laws.planning.isoflop.envelope",
    "Envelope": "scaling_laws.planning.isoflop.envelope",
    "constant_exponent": "scaling_laws.planning.baseline",
    "Baseline": "scaling_laws.planning.baseline",
    "next_runs": "scaling_laws.planning.design.next_runs",
    "NextRuns": "scaling_laws.planning.design.next_runs",
    "score_design": "scaling_laws.planning.design.score",
    "DesignScore": "scaling_laws.planning.design.score",
    "ladder": "scaling_laws.planning.design.ladder",
    "Ladder": "scaling_laws.planning.design.ladder",
    "learning_curve": "scaling_laws.measurement.learning_curve",
    "latency": "scaling_laws.measurement.timing",
    "record": "scaling_laws.measurement.recording",
    "recorded": "scaling_laws.measurement.recording",
    "verify": "scaling_laws.loop.verifying",
    "Verification": "scaling_laws.loop.verifying",
    "grow": "scaling_laws.loop.growing",
    "Growth": "scaling_laws.loop.growing",
    "token_subsets": "scaling_laws.measurement.token_subsets",
    "manifest": "scaling_laws.measurement.token_subsets",
    "Latency": "scaling_laws.measurement.timing",
    "SweepProgress": "scaling_laws.measurement.ledger",
    "TokenSubset": "scaling_laws.measurement.token_subsets",
    "Manifest": "scaling_laws.measurement.token_subsets",
    "read_runs": "scaling_laws.data.readers",
    "read_report": "scaling_laws.data.read_report",
    "ReadReport": "scaling_laws.data.read_report",
    "clean": "scaling_laws.data.cleaning_step",
    "CleaningStep": "scaling_laws.data.cleaning_step",
    "best_over": "scaling_laws.data.best_runs",
    "min_step": "scaling_laws.data.cleaning",
    "final_only": "scaling_laws.data.cleaning",
    "snap_ratio": "scaling_laws.data.cleaning",
    "drop_highest_loss": "scaling_laws.data.cleaning",
    "average_metrics": "scaling_laws.data.cleaning",
    "drop_diverged": "scaling_laws.data.cleaning",
    "drop_duplicates": "scaling_laws.data.cleaning",
    "prefer_measured": "scaling_laws.data.cleaning",
    "smooth_metric": "scaling_laws.data.cleaning",
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
