# %% [markdown]
# # Planning under constraints
#
# A budget is seldom a number of FLOP. It is eight accelerators until Thursday, a sum of money, a
# memory the model must be served from, a corpus that ends. Each is a limit; the plan says which
# of them binds and what relaxing it is worth.
#
# The law is a published one, so the answers are about models of that kind; put your own fit in
# its place and they carry intervals.

# %%
from functools import partial

import numpy as np

import scaling_laws as sl

law = sl.published.BESIROGLU_2024
node = sl.get_accelerator("H100 SXM", count=8, utilization=0.4, price_per_hour=2.5)
planner = sl.Planner(law, hardware=node)

# %% [markdown]
# ## Eight GPUs for three days

# %%
days = planner.for_budget(seconds=3 * 86400)
print(days)
print(days.summary())

# %% [markdown]
# ## ... and at most 1,000 dollars
#
# Both hold; `binding` names the one that limits, `prices` what one percent more of it is worth.

# %%
both = planner.for_budget(seconds=3 * 86400, dollars=1000)
print(both.binding, both.prices, both.best["seconds"] / 86400, "days")

# %% [markdown]
# ## A deadline, and a loss to be reached by it

# %%
soon = sl.Planner(law, hardware=node, limits={"seconds": 86400}).for_target(2.25)
late = sl.Planner(law, hardware=node, limits={"seconds": 30 * 86400}).for_target(2.25)
print("in a day:", soon.feasible, "-", soon.notes[0])
print("nearest miss:", soon.nearest)
print("in a month:", late.best["seconds"] / 86400, "days,", late.best["dollars"], "dollars")

# %% [markdown]
# ## It must be served from 2 GB at 8 bit
#
# `Limit` takes any function of what a plan consists of.

# %%
memory = sl.Limit(partial(sl.serving_bytes, bits=8), at_most=2e9)
small = sl.Planner(law, hardware=node, limits={"serving memory": memory})
served = small.for_budget(seconds=14 * 86400)
free = planner.for_budget(seconds=14 * 86400)
print(served)
print(f"the limit costs {served.best['loss'] - free.best['loss']:.4f} nats")

# %% [markdown]
# ## It will answer for a trillion tokens
#
# What is served is paid too, so the cheapest model of a loss is smaller and trained for longer.

# %%
target = free.best["loss"]
training_only = sl.Planner(law).for_target(target).best
lifetime = sl.Planner(law, sl.LifetimeCost(served_tokens=1e12)).for_target(target).best
for name, best in (("training alone", training_only), ("and serving", lifetime)):
    print(f"{name:15s} {best['params']:.3g} parameters, {best['tokens_per_param']:.0f} tokens each")

# %% [markdown]
# ## The corpus ends at ten billion tokens
#
# A law of repeated data knows what an epoch is worth (Muennighoff et al. 2023, arXiv:2305.16264).

# %%
repeated = sl.published.MUENNIGHOFF_2023_REPEATED
corpus = {"unique_tokens": 1e10}
flops = free.best["flops"]
scarce = sl.Planner(repeated, fixed=corpus).for_budget(flops=flops)
four = sl.Planner(repeated, fixed=corpus, limits={"epochs": 4}).for_budget(flops=flops)
print(f"{scarce.best['epochs']:.1f} epochs, loss {scarce.best['loss']:.3f}")
print(f"at most four: loss {four.best['loss']:.3f}, binding {four.binding}, worth {four.prices}")

# %% [markdown]
# ## Only these sizes can be built, and how much it matters

# %%
shelf = [1e8, 4e8, 1e9, 3e9, 7e9]
built = sl.Planner(law, hardware=node, sizes=shelf).for_budget(seconds=3 * 86400)
print(built.best["params"], "instead of", days.best["params"])
table = planner.trade_off("params", np.array(shelf), seconds=3 * 86400)
print(table[["params", "tokens", "excess", "overhead"]])
