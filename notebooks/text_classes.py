# %% [markdown]
# # Source lines: how many labelled lines does a text classifier need?
#
# Which module of the standard library does a line come from? A linear classifier of words is
# trained on up to 8,000 lines; laws are weighed, a plan is made for the accuracy that eight times
# as many should reach, and the classifier is trained at the plan. Runs on a laptop in two minutes
# (`SCALING_LAWS_SHORT=1`: fewer lines and folds; `SCALING_LAWS_SEED=1`: another draw). Needs
# scikit-learn; the text comes with Python, so the numbers differ a little with its version.

# %%
import os
import sysconfig
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.svm import LinearSVC

import scaling_laws as sl

SHORT = bool(os.environ.get("SCALING_LAWS_SHORT"))
LOG = os.environ.get("SCALING_LAWS_LOG")  # one a mode: what it holds is not done again
SEED = int(os.environ.get("SCALING_LAWS_SEED", "0"))


def read(modules):
    """Distinct lines of the largest modules, tests left out, and which module each is from."""
    root = Path(sysconfig.get_path("stdlib"))
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).parts
        if not {"site-packages", "test", "tests"} & set(parts):
            text = path.read_text(encoding="utf-8", errors="ignore")
            lines = (line.strip() for line in text.splitlines())
            own = found.setdefault(parts[0].removesuffix(".py"), {})
            own.update(dict.fromkeys(line for line in lines if len(line) >= 20))
    largest = sorted(found, key=lambda name: (-len(found[name]), name))[:modules]
    lines = [line for name in largest for line in found[name]]
    return lines, np.array([name for name in largest for _ in found[name]])


lines, y = read(8 if SHORT else 30)
words = HashingVectorizer(
    token_pattern=r"\w+|[^\w\s]", ngram_range=(1, 2), n_features=2**17, lowercase=False
)
X = words.transform(lines)  # stateless, so nothing of the held-out lines is learnt here
print(f"{len(lines)} lines of {len(set(y))} modules")

# %% [markdown]
# ## Measure: the learning curve, folds that share nothing
#
# The goal must fit into the training lines of a fold, so the largest subset is an eighth of them.

# %%
largest = min(1000 if SHORT else 8000, int(0.8 * len(lines)) // 8)
goal = 8 * largest
sizes = [largest // 2**halvings for halvings in range(4 if SHORT else 6)]
curve = sl.learning_curve(
    LinearSVC(dual="auto"),
    X,
    y,
    sizes,
    cv=3 if SHORT else 5,
    metrics="accuracy",
    log=LOG,
    seed=SEED,
)
print(curve.groupby("samples").accuracy.agg(["mean", "std"]).round(4))

# %% [markdown]
# ## Select: which laws predict the larger subsets from the smaller?

# %%
chosen = sl.select(
    curve, target="accuracy", inputs=("samples",), draws=300 if SHORT else 1000, seed=SEED
)
print({law: round(weight, 2) for law, weight in chosen.weights.items()})
print([str(note) for note in chosen.notes])

# %% [markdown]
# ## Plan: the lines that a target needs
#
# The target is the accuracy that eight times the largest subset should reach.

# %%
wanted = float(chosen.predict(samples=[goal]).accuracy[0])
plan = sl.Planner(chosen).for_target(wanted)
print(plan)

# %% [markdown]
# ## Retrain at the plan, and compare
#
# Every seed holds out another fifth of the lines.


# %%
def train(samples, seed):
    """Held-out accuracy of the classifier, trained on so many lines."""
    measured = sl.learning_curve(
        LinearSVC(dual="auto"), X, y, [round(samples)], cv=0.2, metrics="accuracy", seed=seed
    )
    return {"accuracy": float(measured.accuracy[0])}


first = {"seed": 10 * SEED + 1_000}
found = sl.verify(plan, train, seeds=2 if SHORT else 3, given=first, log=LOG)
print(found)
print(f"{plan.best['samples'] / largest:.1f} times the largest subset; z {found.z:+.2f}")
