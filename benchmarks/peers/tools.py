"""How each tool is called: one fit, draws behind intervals, a prediction of held-out runs.

Imports are inside the functions: a tool's process loads that tool and no other. Rows are
(params, tokens, loss), points are (params, tokens); an answer is (low, middle, high), the bounds of
a 90 % interval of one new run, or None where the tool has no interval.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

DELTA = 1e-3
NORMAL = 1.6448536269514722  # half a 90 % interval, in standard deviations
COEFFICIENTS = ("E", "A", "alpha", "B", "beta")
CONSTANTS = Path(__file__).resolve().parents[1] / "calibration" / "leave_one_out.json"
TARGET = "test_loss__loss"
TIGHT = {"ftol": 1e-14, "gtol": 1e-10, "maxiter": 2000, "maxfun": 5000}  # of L-BFGS-B
NEAR_OPTIMUM = np.array([0.597, 6.17, 7.67, 0.347, 0.367])  # e, a, b, alpha, beta of the 240 runs

Coefficients = dict[str, float]
Answer = tuple[np.ndarray | None, np.ndarray, np.ndarray | None]


@dataclass(frozen=True)
class Tool:
    """One row of the comparison.

    Parameters
    ----------
    distribution, loads : str
        What is installed, and the import statement after which it can fit.
    minimises, intervals : str
        In words, as the tables show them.
    fit : function of rows
        Fits once; returns coefficients of the additive law, or None where it has no such law.
    predict : function of (rows, points, family)
        Answers for held-out points. ``family`` names the data's family, whose runs the library's
        learned constants must not have seen.
    draws : (few, many) or None
        Numbers of draws between which the time of draws is measured.
    draw : function of (rows, number), optional
    """

    distribution: str
    loads: str
    minimises: str
    intervals: str
    fit: Callable[[np.ndarray], Coefficients | None]
    predict: Callable[[np.ndarray, np.ndarray, str], Answer]
    draws: tuple[int, int] | None = None
    draw: Callable[[np.ndarray, int], object] | None = None


def _table(rows: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(("params", "tokens", "loss"), rows.T, strict=False))


def _additive(coef: Coefficients, points: np.ndarray) -> np.ndarray:
    params, tokens = points[:, :2].T
    return np.asarray(
        coef["E"] + coef["A"] * params ** -coef["alpha"] + coef["B"] * tokens ** -coef["beta"]
    )


# --- this library --------------------------------------------------------------------------------


def _huber_fit(rows: np.ndarray, draws: int = 0) -> Coefficients:
    import scaling_laws as sl

    return sl.fit(_table(rows), "chinchilla", robust=sl.Huber(DELTA), draws=draws).coef


def _default_fit(rows: np.ndarray, draws: int = 0) -> Coefficients:
    import scaling_laws as sl

    return sl.fit(_table(rows), "chinchilla", draws=draws).coef


def _select(rows: np.ndarray, draws: int = 0) -> None:
    import scaling_laws as sl

    sl.select(_table(rows), draws=draws)


def _told(prediction) -> Answer:
    columns = ("loss_low", "loss", "loss_high")
    return tuple(prediction[c].to_numpy() for c in columns)


def _huber_predict(rows: np.ndarray, points: np.ndarray, _family: str) -> Answer:
    import scaling_laws as sl

    fit = sl.fit(_table(rows), "chinchilla", robust=sl.Huber(DELTA))
    return _told(fit.predict(_table(points), level=0.9))


def _default_predict(rows: np.ndarray, points: np.ndarray, _family: str) -> Answer:
    import scaling_laws as sl

    return _told(sl.fit(_table(rows), "chinchilla").predict(_table(points), level=0.9))


def _select_predict(rows: np.ndarray, points: np.ndarray, family: str) -> Answer:
    import scaling_laws as sl
    from scaling_laws.inference.calibration import Calibration

    others = Calibration(**json.loads(CONSTANTS.read_text(encoding="utf-8"))[family])
    selection = sl.select(_table(rows), inputs=("params", "tokens"), calibration=others)
    return _told(selection.predict(_table(points), level=0.9))


# --- chinchilla ----------------------------------------------------------------------------------


def _chinchilla_fit(rows: np.ndarray, grid: int = 3) -> Coefficients:
    """The grid of its README with fewer points an axis: 3^5 = 243 starts instead of 3,125."""
    from chinchilla import Chinchilla
    from chinchilla._metrics import log_huber

    def loss(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return log_huber(y_true, y_pred, delta=DELTA)

    spans = {"E": (1, 2), "a": (1, 10), "b": (1, 10), "alpha": (0.1, 0.7), "beta": (0.1, 0.7)}
    starts = {name: np.linspace(*span, grid) for name, span in spans.items()}
    with tempfile.TemporaryDirectory() as folder:
        params, tokens, measured = rows.T
        columns = np.column_stack([6 * params * tokens, params, tokens, measured])
        np.savetxt(Path(folder) / "df.csv", columns, "%.17g", ",", header="C,N,D,loss", comments="")
        tool = Chinchilla(folder, param_grid=starts, loss_fn=loss, log_level=50)
        tool.fit()
        return {name: float(getattr(tool, name)) for name in COEFFICIENTS}


def _chinchilla_predict(rows: np.ndarray, points: np.ndarray, _family: str) -> Answer:
    return None, _additive(_chinchilla_fit(rows, grid=2), points), None


# --- simple-scaling-laws -------------------------------------------------------------------------


def _simple_model(rows: np.ndarray, draws: int):
    import polars
    from simple_scaling_laws import fit

    table = {
        "training_run_id": [f"run{i}" for i in range(len(rows))],
        "model_size__params": rows[:, 0],
        "dataset_size__tokens": rows[:, 1],
        TARGET: rows[:, 2],
    }
    return fit(polars.DataFrame(table), n_draws=draws)


def _simple_fit(rows: np.ndarray) -> Coefficients:
    model = _simple_model(rows, 2)  # it always draws; two is the least it takes
    coef = dict(model.params(TARGET))
    columns = {"A": "model_size__params", "B": "dataset_size__tokens"}
    for amplitude, rate in (("A", "alpha"), ("B", "beta")):
        coef[amplitude] *= model.observed_domain[columns[amplitude]]["reference"] ** coef[rate]
    return {name: float(coef[name]) for name in COEFFICIENTS}


def _simple_predict(rows: np.ndarray, points: np.ndarray, _family: str) -> Answer:
    import polars

    table = {
        "point_id": np.arange(len(points)),
        "model_size__params": points[:, 0],
        "dataset_size__tokens": points[:, 1],
    }
    found = _simple_model(rows, 400).predict(
        polars.DataFrame(table), kind="new-run", quantiles=(0.05, 0.5, 0.95)
    )
    found = found.sort("point_id")
    names = [n for n in found.columns if n.startswith(TARGET)]
    low, middle, high = np.sort(np.stack([found[n].to_numpy() for n in names]), axis=0)
    return low, middle, high


# --- SciPy alone: the method of the replication (Besiroglu et al. 2024, arXiv:2404.10102) --------


def _objective(theta: np.ndarray, logs: np.ndarray, target: np.ndarray):
    """Sum of Huber losses of log residuals and its gradient in (e, a, b, alpha, beta)."""
    e, a, b, alpha, beta = theta
    terms = np.stack([np.full(len(target), e), a - alpha * logs[0], b - beta * logs[1]])
    top = terms.max(axis=0)
    parts = np.exp(terms - top)
    total = parts.sum(axis=0)
    residual = top + np.log(total) - target
    share, size = parts / total, np.abs(residual)
    value = np.where(size <= DELTA, residual**2 / 2, DELTA * (size - DELTA / 2)).sum()
    slope = np.clip(residual, -DELTA, DELTA) * share
    inner = [slope[0].sum(), slope[1].sum(), slope[2].sum(), -slope[1] @ logs[0]]
    return value, np.array([*inner, -slope[2] @ logs[1]])


def _descend(rows: np.ndarray, start: np.ndarray, **options: float):
    from scipy.optimize import minimize

    given = (np.log(rows[:, :2].T), np.log(rows[:, 2]))
    with np.errstate(all="ignore"):
        return minimize(_objective, start, args=given, jac=True, method="L-BFGS-B", options=options)


def _search(rows: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The best end of all, polished: SciPy's own tolerances stop early on losses so small."""
    ends = [_descend(rows, start) for start in starts]
    best = min(ends, key=lambda end: end.fun if np.isfinite(end.fun) else np.inf)
    return np.asarray(_descend(rows, best.x, **TIGHT).x)


def _starts(number: int) -> np.ndarray:
    """Some of the 4,500 starts of the replication, drawn once with a fixed seed."""
    steps, amplitudes = np.arange(0, 2.1, 0.5), np.arange(0, 25.1, 5)
    grid = np.array([*product(np.arange(-1, 1.1, 0.5), amplitudes, amplitudes, steps, steps)])
    return grid[np.random.default_rng(0).choice(len(grid), number, replace=False)]


def _named(theta: np.ndarray) -> Coefficients:
    e, a, b, alpha, beta = (float(v) for v in theta)
    values = (np.exp(e), np.exp(a), alpha, np.exp(b), beta)
    return dict(zip(COEFFICIENTS, map(float, values), strict=True))


def _scipy_fit(rows: np.ndarray) -> Coefficients:
    return _named(_search(rows, _starts(500)))


def _bootstrap(rows: np.ndarray, best: np.ndarray, number: int) -> list[np.ndarray]:
    """Refits from the optimum on runs drawn with replacement, as in the replication."""
    rng = np.random.default_rng(0)
    picks = rng.integers(len(rows), size=(number, len(rows)))
    return [_descend(rows[pick], best).x for pick in picks]


def _scipy_draw(rows: np.ndarray, number: int) -> None:
    _bootstrap(rows, NEAR_OPTIMUM, number)


def _scipy_predict(rows: np.ndarray, points: np.ndarray, _family: str) -> Answer:
    """100 starts; 100 refits, each with a residual of the fit added, for one new run."""
    best = _search(rows, _starts(100))
    middle = _additive(_named(best), points)
    left = np.log(rows[:, 2] / _additive(_named(best), rows))
    rng = np.random.default_rng(1)
    drawn = [
        _additive(_named(theta), points) * np.exp(rng.choice(left, len(points)))
        for theta in _bootstrap(rows, best, 100)
    ]
    low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
    return low, middle, high


# --- lmfit alone: one start, least squares of the log --------------------------------------------


def _log_law(log_params, log_tokens, e, a, b, alpha, beta):
    terms = (e + 0 * log_params, a - alpha * log_params, b - beta * log_tokens)
    return np.logaddexp.reduce(np.stack(terms), axis=0)


def _lmfit_result(rows: np.ndarray):
    """The published coefficients of Hoffmann et al. (2022) are the start a user has at hand."""
    import lmfit

    start = {"e": np.log(1.69), "a": np.log(406.4), "b": np.log(410.7), "alpha": 0.34, "beta": 0.28}
    model = lmfit.Model(_log_law, independent_vars=["log_params", "log_tokens"])
    logs = np.log(rows.T)
    start = model.make_params(**start)
    return model.fit(logs[2], start, log_params=logs[0], log_tokens=logs[1])


def _lmfit_fit(rows: np.ndarray) -> Coefficients:
    best = _lmfit_result(rows).best_values
    return _named(np.array([best[n] for n in ("e", "a", "b", "alpha", "beta")]))


def _lmfit_predict(rows: np.ndarray, points: np.ndarray, _family: str) -> Answer:
    result = _lmfit_result(rows)
    asked = dict(zip(("log_params", "log_tokens"), np.log(points.T), strict=True))
    middle = result.eval(**asked)
    result.eval_uncertainty(sigma=0.9, **asked)
    half = result.dely_predicted  # of one new run, scatter included
    return np.exp(middle - half), np.exp(middle), np.exp(middle + half)


# --- scikit-learn: regressions of log loss on log params and log tokens --------------------------


def _linear(rows: np.ndarray):
    from sklearn.linear_model import LinearRegression

    return LinearRegression().fit(np.log(rows[:, :2]), np.log(rows[:, 2]))


def _linear_predict(rows: np.ndarray, points: np.ndarray, _family: str) -> Answer:
    return None, np.exp(_linear(rows).predict(np.log(points))), None


def _process(rows: np.ndarray):
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    kernel = ConstantKernel() * RBF([1.0, 1.0]) + WhiteKernel(1e-3, (1e-8, 1.0))
    logs = np.log(rows)
    tool = GaussianProcessRegressor(
        kernel, normalize_y=True, n_restarts_optimizer=2, random_state=0
    )
    scale = logs[:, :2].mean(axis=0), logs[:, :2].std(axis=0)
    return tool.fit((logs[:, :2] - scale[0]) / scale[1], logs[:, 2]), scale


def _process_predict(rows: np.ndarray, points: np.ndarray, _family: str) -> Answer:
    tool, (centre, spread) = _process(rows)
    middle, deviation = tool.predict((np.log(points) - centre) / spread, return_std=True)
    half = NORMAL * deviation  # the noise kernel makes it that of one new run
    return np.exp(middle - half), np.exp(middle), np.exp(middle + half)


def _boosted(rows: np.ndarray) -> list:
    from sklearn.ensemble import GradientBoostingRegressor

    logs = np.log(rows)
    return [
        GradientBoostingRegressor(loss="quantile", alpha=q, random_state=0).fit(
            logs[:, :2], logs[:, 2]
        )
        for q in (0.05, 0.5, 0.95)
    ]


def _boosted_predict(rows: np.ndarray, points: np.ndarray, _family: str) -> Answer:
    found = [tool.predict(np.log(points)) for tool in _boosted(rows)]
    low, middle, high = np.exp(np.sort(found, axis=0))
    return low, middle, high


def _nothing(function: Callable) -> Callable[[np.ndarray], None]:
    """A fit without coefficients of the additive law to judge."""

    def fit(rows: np.ndarray) -> None:
        function(rows)

    return fit


_OURS = "from scaling_laws.fitting.fitter import Fitter"
TOOLS: dict[str, Tool] = {
    "scaling_laws, select": Tool(
        "scaling_laws", _OURS, "weighted candidates, backtested", "draws, noise, law error",
        _select, _select_predict, (500, 20_500), _select,
    ),
    "scaling_laws, fit": Tool(
        "scaling_laws", _OURS, "sum of log-Huber, automatic", "draws, noise, law error",
        _default_fit, _default_predict, (500, 2500), _default_fit,
    ),
    "scaling_laws, fit, Huber 1e-3": Tool(
        "scaling_laws", _OURS, "sum of log-Huber 1e-3", "draws, noise, law error",
        _huber_fit, _huber_predict, (500, 2500), _huber_fit,
    ),
    "chinchilla": Tool(
        "chinchilla", "from chinchilla import Chinchilla", "mean of log-Huber 1e-3", "none",
        _chinchilla_fit, _chinchilla_predict,
    ),
    "simple-scaling-laws": Tool(
        "simple-scaling-laws", "from simple_scaling_laws import fit",
        "weighted least squares of the loss", "residual bootstrap, its own",
        _simple_fit, _simple_predict, (2, 102), _simple_model,
    ),
    "SciPy, many starts": Tool(
        "scipy", "import scipy.optimize", "sum of log-Huber 1e-3",
        "bootstrap by hand",
        _scipy_fit, _scipy_predict, (0, 50), _scipy_draw,
    ),
    "lmfit, one start": Tool(
        "lmfit", "import lmfit", "least squares of the log", "`eval_uncertainty`",
        _lmfit_fit, _lmfit_predict,
    ),
    "scikit-learn, linear": Tool(
        "scikit-learn", "from sklearn.linear_model import LinearRegression",
        "least squares of log on logs", "none", _nothing(_linear), _linear_predict,
    ),
    "scikit-learn, Gaussian process": Tool(
        "scikit-learn", "from sklearn.gaussian_process import GaussianProcessRegressor",
        "marginal likelihood", "standard deviation", _nothing(_process), _process_predict,
    ),
    "scikit-learn, boosted trees": Tool(
        "scikit-learn", "from sklearn.ensemble import GradientBoostingRegressor",
        "quantile losses", "5 % and 95 % quantile models", _nothing(_boosted), _boosted_predict,
    ),
}  # fmt: skip


def quiet(call: Callable, *given: object) -> object:
    """Call with warnings off: a tool's doubts are not what is compared."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*given)
