# %% [markdown]
# # Recommendation: how many interactions does a matrix factorisation need?
#
# Users are functions of Python source code, items the methods they call: given all but one of the
# methods that a function calls, which is the one left out? Factors are found by alternating least
# squares (Hu, Koren & Volinsky 2008, "Collaborative filtering for implicit feedback datasets") on
# up to 15,000 interactions; laws of interactions and factors are weighed, the best number of
# factors for eight times as many is planned, and trained. Runs on a laptop in a minute or two
# (`SCALING_LAWS_SHORT=1`: less; `SCALING_LAWS_SEED=1`: another draw of everything). The text comes
# with Python and what this library rests on, so the numbers differ a little with their versions.

# %%
import os
import re
import sysconfig
from collections import Counter
from pathlib import Path

import numpy as np
from scipy import sparse

import scaling_laws as sl

SHORT = bool(os.environ.get("SCALING_LAWS_SHORT"))
LOG = os.environ.get("SCALING_LAWS_LOG")  # one a mode: what it holds is not done again
SEED = int(os.environ.get("SCALING_LAWS_SEED", "0"))
PACKAGES = () if SHORT else ("numpy", "scipy", "pandas", "matplotlib", "joblib", "lmfit")
HELD_OUT = 1000 if SHORT else 3000  # functions

# %% [markdown]
# ## The matrix
#
# Names called as methods, `.name(`, by function. Functions that call the same set count once;
# methods that few functions call, and functions that call few, are left out.

# %%
FUNCTION = re.compile(r"^(?=[ ]{0,8}(?:async )?def )", re.MULTILINE)
METHOD = re.compile(r"\.([a-z_]\w{2,})\(")


def read(callers=20, methods=4):
    """Items of every user, as sorted numbers, and the number of items."""
    stdlib, others = Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("purelib"))
    baskets = {}
    for root in (stdlib, *(others / name for name in PACKAGES)):
        for path in sorted(root.rglob("*.py")):
            if "site-packages" not in path.relative_to(root).parts:
                text = path.read_text(encoding="utf-8", errors="ignore")
                called = (frozenset(METHOD.findall(part)) for part in FUNCTION.split(text))
                baskets.update(dict.fromkeys(called))
    times = Counter(name for basket in baskets for name in basket)
    number = {name: i for i, name in enumerate(sorted(n for n in times if times[n] >= callers))}
    users = [sorted(number[name] for name in basket if name in number) for basket in baskets]
    return [user for user in users if len(user) >= methods], len(number)


users, items = read()
print(f"{len(users)} functions, {items} methods, {sum(map(len, users))} interactions")

# %% [markdown]
# ## The model, and how it is scored
#
# Held-out functions are not trained on. Each shows all of its methods but one; its factors are
# those that fit them best, and the one left out is ranked among all that were not shown. `recall`
# is the share within the first ten. What is ranked does not depend on how much was trained on, so
# the curve over interactions is one of learning alone.

# %%
CONFIDENCE = 20.0  # extra weight of a method that is called, over one that is not
RIDGE = 10.0
PASSES = 6


def matrix(rows):
    """Users by items, 1 where called."""
    ends = np.cumsum([0, *map(len, rows)])
    called = np.concatenate(rows)
    return sparse.csr_matrix((np.ones(len(called)), called, ends), shape=(len(rows), items))


def solved(seen, other):
    """Factors of the rows of ``seen`` (n, m), given those of its columns (m, k)."""
    size = other.shape[1]
    products = (other[:, :, None] * other[:, None, :]).reshape(-1, size * size)
    common = other.T @ other + RIDGE * np.eye(size)
    parts = []
    for start in range(0, seen.shape[0], 2000):  # a few megabytes at a time
        rows = seen[start : start + 2000]
        left = common + CONFIDENCE * (rows @ products).reshape(-1, size, size)
        right = (1 + CONFIDENCE) * (rows @ other)
        parts.append(np.linalg.solve(left, right[:, :, None])[:, :, 0])
    return np.concatenate(parts)


def train(interactions, factors, seed):
    """Recall at ten of what functions that were held out call besides what they show."""
    factors = round(factors)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(users))
    held_out, others = order[:HELD_OUT], order[HELD_OUT:]
    total = np.cumsum([len(users[i]) for i in others])
    if total[-1] < interactions:
        raise ValueError(f"{interactions:.0f} interactions asked, {total[-1]} to train on")
    seen = matrix([users[i] for i in others[: np.searchsorted(total, interactions) + 1]])
    item = rng.normal(0, 0.1, (items, factors))
    for _ in range(PASSES):
        item = solved(seen.T.tocsr(), solved(seen, item))
    left_out = [int(rng.integers(len(users[i]))) for i in held_out]
    answers = [users[i][k] for i, k in zip(held_out, left_out, strict=True)]
    shown = matrix([np.delete(users[i], k) for i, k in zip(held_out, left_out, strict=True)])
    scores = solved(shown, item) @ item.T
    scores[shown.nonzero()] = -np.inf
    rank = (scores >= scores[np.arange(HELD_OUT), answers][:, None]).sum(axis=1)
    return {"recall": float(np.mean(rank <= 10))}


# %% [markdown]
# ## Measure: interactions by factors
#
# The goal must fit into what is not held out, so the largest run has an eighth of it at most.

# %%
to_train_on = sum(map(len, users)) * (1 - HELD_OUT / len(users))
largest = min(2000 if SHORT else 15_000, int(0.99 * to_train_on) // 8)
goal = 8 * largest
cells = sl.grid(
    interactions=[largest // 2**halvings for halvings in range(4 if SHORT else 5)],
    factors=[4, 8, 16] if SHORT else [4, 8, 16, 32],
    seed=[10 * SEED + k for k in range(2 if SHORT else 3)],
)
runs = sl.sweep(train, cells, log=LOG)
print(runs.pivot_table(index="interactions", columns="factors", values="recall").round(3))

# %% [markdown]
# ## Select: which laws of both inputs predict the larger runs from the smaller?

# %%
chosen = sl.select(
    runs,
    target="recall",
    inputs=("interactions", "factors"),
    along="interactions",
    draws=300 if SHORT else 1000,
    seed=SEED,
)
print({law: round(weight, 2) for law, weight in chosen.weights.items()})
print([str(note) for note in chosen.notes])

# %% [markdown]
# ## Plan: the best number of factors for eight times the interactions

# %%
most = int(runs.factors.max())
plan = sl.Planner(chosen, fixed={"interactions": goal}, limits={"factors": most}).for_budget()
print(plan)

# %% [markdown]
# ## Retrain at the plan, and compare
#
# Other seeds: other functions are held out, in another order.

# %%
first = {"seed": 10 * SEED + 1_000}
found = sl.verify(plan, train, seeds=2 if SHORT else 3, given=first, log=LOG)
print(found)
print(f"{plan.best['interactions'] / largest:.1f} times the largest run; z {found.z:+.2f}")
