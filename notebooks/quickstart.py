# %% [markdown]
# # Quickstart: from a CSV of runs to what to train next
#
# Your table, whatever its columns are called; a law; what to doubt; a check on runs that were
# held out; a plan. Here the table is written from the bundled runs of small language models,
# under names as a tracker would give them.

# %%
import tempfile
from pathlib import Path

import numpy as np

import scaling_laws as sl

folder = Path(tempfile.mkdtemp())
bundled = sl.load_dataset("tiny_lm")
written = bundled[["params", "tokens", "loss", "seed"]].copy()
written["tokens"] = written["tokens"] / 1e6
written.columns = ["Model Size", "tokens (M)", "val loss", "seed"]
written.loc[len(written)] = [24576, 0.4, np.nan, 1]  # a run that diverged
written.to_csv(folder / "sweep.csv", index=False)
print((folder / "sweep.csv").read_text()[:160])

# %% [markdown]
# ## Read: names and units are recognised, and what was done is counted

# %%
runs = sl.read_runs(folder / "sweep.csv")
print(runs.head())
print(sl.read_report(runs))

# %% [markdown]
# ## Fit one law, and read what it is doubted for

# %%
fit = sl.fit(runs, "chinchilla", draws=300)
print(fit)
for note in fit.notes:
    print("-", note)
axes = sl.plot.fit(fit)

# %% [markdown]
# ## Check: hold out the upper decade of compute, and predict it
#
# `select` weighs several laws by how they foretold larger runs from smaller ones.

# %%
flops = sl.training_flops(runs.params, runs.tokens)
small, large = runs[flops <= flops.max() / 10], runs[flops > flops.max() / 10]
large = large[large.loss.notna()]
ahead = sl.select(small, draws=300).predict(large[["params", "tokens"]])
actual = large.loss.to_numpy()
error = np.abs(np.log(ahead.loss.to_numpy() / actual)).mean()
inside = ((ahead.loss_low <= actual) & (actual <= ahead.loss_high)).mean()
print(f"{len(large)} larger runs: {100 * error:.1f} % off, {100 * inside:.0f} % in 90 % intervals")

# %% [markdown]
# ## Plan: ten and a hundred times the compute

# %%
selection = sl.select(runs, draws=300)
planner = sl.Planner(selection)
plan = planner.for_budget(flops=[10 * flops.max(), 100 * flops.max()])
print(plan.to_frame()[["flops", "params", "params_low", "params_high", "tokens", "loss"]])
print(planner.for_budget(flops=10 * flops.max()).summary())

# %% [markdown]
# ## Keep it: numbers and names in JSON, never code

# %%
selection.save(folder / "selection.json")
again = sl.load(folder / "selection.json")
point = {"params": 2e6, "tokens": 4e7}
print(again.predict(**point))
