# %% [markdown]
# # Choosing a law: by what it foretells, not by how well it fits
#
# Many laws pass through the same runs. Which one to extrapolate with is a question about runs
# that were *not* fitted: hold out the largest, fit the rest, compare.

# %%
import numpy as np
import pandas as pd

import scaling_laws as sl

runs = sl.load_dataset("tiny_lm")[["params", "tokens", "loss", "flops"]]
cut = runs.flops.max() / 10
small, large = runs[runs.flops <= cut], runs[runs.flops > cut]
print(f"{len(small)} runs fitted, {len(large)} of up to ten times the compute held out")
LAWS = ("chinchilla", "coupled", "kaplan_with_floor", "product_with_floor", "translog")


def misses(predicted, table):
    """Mean relative error."""
    return float(np.abs(np.log(np.asarray(predicted) / table.loss.to_numpy())).mean())


# %% [markdown]
# ## In the sample, and out of it

# %%
rows = []
for law in LAWS:
    fit = sl.fit(small, law, inputs=("params", "tokens"), draws=0)
    seen, ahead = (fit.law(params=t.params, tokens=t.tokens) for t in (small, large))
    rows.append(
        {"law": law, "in the sample": misses(seen, small), "held out": misses(ahead, large)}
    )
table = pd.DataFrame(rows).set_index("law")
print((100 * table).round(2))

# %% [markdown]
# `chinchilla` fits better than `kaplan_with_floor` and foretells three times worse; `translog`
# fits as well as `coupled` and foretells worse by two thirds. What a law misses inside the data
# says little about how it leaves them.
#
# ## Without looking at the held-out runs
#
# A backtest does inside the small runs what was done above: fit the smaller, score the larger,
# cut after cut.

# %%
for law in ("chinchilla", "kaplan_with_floor"):
    back = sl.backtest(small, law, inputs=("params", "tokens"))
    print(law)
    print(back.table[["cut", "n_train", "n_test", "distance", "error"]].round(4))

# %% [markdown]
# ## All of them, weighed
#
# One law is a bet. `select` backtests laws under several *focuses* (how much more the larger runs
# count), shrinks their errors to what the same candidates did on other data, and keeps them all,
# weighed; how they disagree is part of the interval.

# %%
selection = sl.select(small, draws=200)
print(selection)
ahead = selection.predict(large[["params", "tokens"]])
table.loc["select", "held out"] = misses(ahead.loss, large)
inside = (ahead.loss_low <= large.loss.to_numpy()) & (large.loss.to_numpy() <= ahead.loss_high)
print((100 * table["held out"].sort_values()).round(2))
print(f"{inside.sum()} of {len(large)} held-out runs in their 90 % interval")

# %% [markdown]
# ## A direction that was not backtested
#
# Backtests along compute say little about runs that are larger in parameters alone. Ask for that
# direction, and the candidates are weighed again by cuts along it.

# %%
wider = selection.toward("params")
point = {"params": 10 * small.params.max(), "tokens": float(np.median(small.tokens))}
for name, one in (("by compute", selection), ("by params", wider)):
    print(name, one.predict(**point)[["loss", "loss_low", "loss_high"]].round(3).iloc[0].to_dict())
