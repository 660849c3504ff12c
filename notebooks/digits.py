# %% [markdown]
# # Handwritten digits: how good would a network be with eight times the images?
#
# Small subsets and narrow networks are measured, laws of samples and width are weighed, a width is
# planned for eight times the largest subset, and the network is trained at the plan. Runs on a
# laptop in half a minute (`SCALING_LAWS_SHORT=1`: fewer folds and widths; `SCALING_LAWS_SEED=1`:
# another draw of everything). Needs scikit-learn, which brings the images.

# %%
import os
import warnings

from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

import scaling_laws as sl

SHORT = bool(os.environ.get("SCALING_LAWS_SHORT"))
LOG = os.environ.get("SCALING_LAWS_LOG")  # one a mode: what it holds is not done again
SEED = int(os.environ.get("SCALING_LAWS_SEED", "0"))
warnings.simplefilter("ignore", ConvergenceWarning)  # at most so many iterations, on purpose

X, y = load_digits(return_X_y=True)  # 1797 images of 8 x 8 pixels, 10 classes
X = X / 16 - 0.5


def network(width):
    """One hidden layer of this width."""
    return MLPClassifier((width,), "tanh", solver="lbfgs", alpha=0.01, max_iter=500)


# %% [markdown]
# ## Measure: samples by width, folds that share nothing
#
# A fold has about 1430 training images. The largest subset is 170 of them, so that eight times as
# many can be had.

# %%
curve = sl.learning_curve(
    network,
    X,
    y,
    [20, 40, 80, 160] if SHORT else [20, 30, 45, 70, 110, 170],
    cv=3 if SHORT else 5,
    capacity={"width": [8, 16, 32] if SHORT else [8, 16, 32, 64]},
    metrics="error",
    log=LOG,
    seed=SEED,
)
print(curve.pivot_table(index="samples", columns="width", values="error").round(3))

# %% [markdown]
# ## Select: which laws of both inputs predict the larger runs from the smaller?

# %%
chosen = sl.select(
    curve,
    target="error",
    inputs=("samples", "width"),
    along="samples",
    draws=300 if SHORT else 1000,
    seed=SEED,
)
print({law: round(weight, 2) for law, weight in chosen.weights.items()})
print([str(note) for note in chosen.notes])

# %% [markdown]
# ## Plan: the best width for eight times the images

# %%
largest = int(curve.samples.max())
goal = 8 * largest
widest = int(curve.width.max())
plan = sl.Planner(chosen, fixed={"samples": goal}, limits={"width": widest}).for_budget()
print(plan)

# %% [markdown]
# ## Retrain at the plan, and compare
#
# Every seed holds out another fifth of the images.


# %%
def train(samples, width, seed):
    """Held-out error of the network, trained on so many images."""
    measured = sl.learning_curve(
        network, X, y, [round(samples)], cv=0.2, capacity={"width": [round(width)]},
        metrics="error", seed=seed,
    )  # fmt: skip
    return {"error": float(measured.error[0])}


first = {"seed": 10 * SEED + 1_000}
found = sl.verify(plan, train, seeds=3 if SHORT else 5, given=first, log=LOG)
print(found)
print(f"{plan.best['samples'] / largest:.1f} times the largest subset; z {found.z:+.2f}")
