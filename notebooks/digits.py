# %% [markdown]
# # Handwritten digits: how many images does a network of this width need?
#
# Small subsets and narrow networks are measured, laws are weighed, a plan is made for an error that
# none of them reached, and the network is trained at the plan. Runs on a laptop in a few minutes
# (`SCALING_LAWS_SHORT=1`: fewer folds and widths). Needs scikit-learn, which brings the images.

# %%
import os
import warnings

from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

import scaling_laws as sl
from scaling_laws.loop.verifying import verify
from scaling_laws.measurement.learning_curve import learning_curve

SHORT = bool(os.environ.get("SCALING_LAWS_SHORT"))
warnings.simplefilter("ignore", ConvergenceWarning)  # a fixed number of passes, on purpose

X, y = load_digits(return_X_y=True)  # 1797 images of 8 x 8 pixels, 10 classes


def network(width):
    """One hidden layer of this width."""
    layer = MLPClassifier((width,), learning_rate_init=0.01, max_iter=60)
    return make_pipeline(MinMaxScaler(), layer)


# %% [markdown]
# ## Measure: samples by width, folds that share nothing
#
# The largest subset is 640 of about 1400 training images; wide networks on all images are kept for
# the end.

# %%
curve = learning_curve(
    network,
    X,
    y,
    [60, 120, 240, 480] if SHORT else [40, 80, 160, 320, 640],
    cv=3 if SHORT else 5,
    capacity={"width": [8, 16, 32] if SHORT else [4, 8, 16, 32, 64]},
    metrics=("error",),
    log=os.environ.get("SCALING_LAWS_LOG"),
)
print(curve.pivot_table(index="samples", columns="width", values="error").round(3))

# %% [markdown]
# ## Select: which law of both inputs predicts the larger runs from the smaller?

# %%
chosen = sl.select(
    curve,
    target="error",
    inputs=("samples", "width"),
    along="samples",
    draws=200 if SHORT else 1000,
)
print(chosen.weights)
print([str(note) for note in chosen.notes])

# %% [markdown]
# ## Plan: the error with twice the images or more, at a width that was measured
#
# A law of samples alone at one width says how many images a target needs.

# %%
width = 32
one = curve[curve.width == width]
fit = sl.fit(one, "power_with_floor", target="error", inputs=("samples",), draws=300)
largest = int(one.samples.max())
wanted = float(fit.predict(samples=[2 * largest]).error[0])
plan = sl.Planner(fit).for_target(wanted)
print(plan)

# %% [markdown]
# ## Retrain at the plan, and compare
#
# Every seed holds out another fifth of the images.


# %%
def train(samples, seed):
    """Held-out error of the network, trained on so many images."""
    measured = learning_curve(
        network, X, y, [round(samples)], cv=0.2, capacity={"width": width}, metrics="error",
        seed=100 + seed,
    )  # fmt: skip
    return {"error": float(measured.error[0])}


found = verify(plan, train, seeds=2 if SHORT else 5)
print(found)
ahead = chosen.predict(samples=[plan.best["samples"]], width=[width])
print("by the selection over both inputs:")
print(ahead.round(4).to_string(index=False))
print(
    f"predicted {found.predicted:.4f}, measured {found.result:.4f}, "
    f"relative error {abs(found.result / found.predicted - 1):.1%}"
)
