"""Figures: functions that take a result and optionally an Axes, draw, and return the Axes.

None shows or saves anything, none changes matplotlib's global settings, and the bands are those of
`Fit.predict` and `Planner`: the same draws as the numbers. With ``ax=None`` a new figure is made.
Each has a companion named ``<figure>_table``, which takes the same and returns the numbers drawn;
`page` puts six of them on one page.

Examples
--------
>>> import matplotlib.pyplot as plt, scaling_laws as sl
>>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=100)
>>> figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.6), layout="constrained")
>>> sl.plot.fit(fit, ax=left) is left
True
>>> sl.plot.residuals(fit, ax=right).get_xlabel()
'fitted test loss [nats]'
>>> plt.close(figure)
>>> list(sl.plot.residuals_table(fit).columns)
['fitted', 'deviation']
"""

from scaling_laws.plot.checks import backtest as backtest
from scaling_laws.plot.checks import backtest_table as backtest_table
from scaling_laws.plot.checks import predicted as predicted
from scaling_laws.plot.checks import predicted_table as predicted_table
from scaling_laws.plot.checks import residuals as residuals
from scaling_laws.plot.checks import residuals_table as residuals_table
from scaling_laws.plot.choices import factors as factors
from scaling_laws.plot.choices import factors_table as factors_table
from scaling_laws.plot.choices import marginal as marginal
from scaling_laws.plot.choices import marginal_table as marginal_table
from scaling_laws.plot.choices import regret as regret
from scaling_laws.plot.choices import regret_table as regret_table
from scaling_laws.plot.choices import sensitivity as sensitivity
from scaling_laws.plot.choices import sensitivity_table as sensitivity_table
from scaling_laws.plot.choices import trade_off as trade_off
from scaling_laws.plot.choices import trade_off_table as trade_off_table
from scaling_laws.plot.comparisons import compare as compare
from scaling_laws.plot.comparisons import compare_table as compare_table
from scaling_laws.plot.comparisons import crossing as crossing
from scaling_laws.plot.comparisons import crossing_table as crossing_table
from scaling_laws.plot.curves import learning_curve as learning_curve
from scaling_laws.plot.curves import learning_curve_table as learning_curve_table
from scaling_laws.plot.curves import noise as noise
from scaling_laws.plot.curves import noise_table as noise_table
from scaling_laws.plot.curves import repetition as repetition
from scaling_laws.plot.curves import repetition_table as repetition_table
from scaling_laws.plot.curves import runs as runs
from scaling_laws.plot.curves import runs_table as runs_table
from scaling_laws.plot.fits import fit as fit
from scaling_laws.plot.fits import fit_table as fit_table
from scaling_laws.plot.isoflops import envelope as envelope
from scaling_laws.plot.isoflops import envelope_table as envelope_table
from scaling_laws.plot.isoflops import isoflop as isoflop
from scaling_laws.plot.isoflops import isoflop_table as isoflop_table
from scaling_laws.plot.loops import growth as growth
from scaling_laws.plot.loops import growth_table as growth_table
from scaling_laws.plot.loops import next_runs as next_runs
from scaling_laws.plot.loops import next_runs_table as next_runs_table
from scaling_laws.plot.loops import verification as verification
from scaling_laws.plot.loops import verification_table as verification_table
from scaling_laws.plot.page import page as page
from scaling_laws.plot.plans import frontier as frontier
from scaling_laws.plot.plans import frontier_table as frontier_table
from scaling_laws.plot.surfaces import contour as contour
from scaling_laws.plot.surfaces import contour_table as contour_table
from scaling_laws.plot.surfaces import section as section
from scaling_laws.plot.surfaces import section_table as section_table
from scaling_laws.plot.uncertainty import coefficients as coefficients
from scaling_laws.plot.uncertainty import coefficients_table as coefficients_table
from scaling_laws.plot.uncertainty import laws as laws
from scaling_laws.plot.uncertainty import laws_table as laws_table
from scaling_laws.plot.uncertainty import parts as parts
from scaling_laws.plot.uncertainty import parts_table as parts_table

__all__ = [
    "backtest",
    "backtest_table",
    "coefficients",
    "coefficients_table",
    "compare",
    "compare_table",
    "contour",
    "contour_table",
    "crossing",
    "crossing_table",
    "envelope",
    "envelope_table",
    "factors",
    "factors_table",
    "fit",
    "fit_table",
    "frontier",
    "frontier_table",
    "growth",
    "growth_table",
    "isoflop",
    "isoflop_table",
    "laws",
    "laws_table",
    "learning_curve",
    "learning_curve_table",
    "marginal",
    "marginal_table",
    "next_runs",
    "next_runs_table",
    "noise",
    "noise_table",
    "page",
    "parts",
    "parts_table",
    "predicted",
    "predicted_table",
    "regret",
    "regret_table",
    "repetition",
    "repetition_table",
    "residuals",
    "residuals_table",
    "runs",
    "runs_table",
    "section",
    "section_table",
    "sensitivity",
    "sensitivity_table",
    "trade_off",
    "trade_off_table",
    "verification",
    "verification_table",
]
