"""Figures: functions that take a result and optionally an Axes, draw, and return the Axes.

None shows or saves anything, none changes matplotlib's global settings, and the bands are those of
`Fit.predict` and `Planner`: the same draws as the numbers. With ``ax=None`` a new figure is made.

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
"""

from scaling_laws.plot.checks import backtest as backtest
from scaling_laws.plot.checks import predicted as predicted
from scaling_laws.plot.checks import residuals as residuals
from scaling_laws.plot.comparisons import compare as compare
from scaling_laws.plot.fits import fit as fit
from scaling_laws.plot.plans import contour as contour
from scaling_laws.plot.plans import frontier as frontier

__all__ = ["backtest", "compare", "contour", "fit", "frontier", "predicted", "residuals"]
