# %% [markdown]
# # How much more data?
#
# A classifier of handwritten digits has been trained on up to 280 images. Are more worth
# labelling, how many does an error of 5 % take, and is it in reach at all? The bundled table
# goes on to 1,400 images, so the answers can be checked.

# %%
import numpy as np

import scaling_laws as sl

digits = sl.load_dataset("digits").query("width == 64")[["samples", "error", "seed"]]
digits = digits.rename(columns={"seed": "run"})  # rows of a seed share their held-out images
seen, later = digits[digits.samples <= 280], digits[digits.samples > 280]
print(digits.groupby("samples").error.mean().round(4))

# %% [markdown]
# ## What will the curve do?
#
# `select` weighs laws of one input, and the value at the largest size: "it stays as it is".

# %%
chosen = sl.select(seen, target="error", inputs=("samples",), draws=300)
print(chosen)
sizes = np.sort(later.samples.unique())
ahead = chosen.predict(samples=sizes)
ahead["measured"] = later.groupby("samples").error.mean().to_numpy()
print(ahead.round(3))

# %% [markdown]
# ## How many images for an error of 5 %, and of 0.1 %?
#
# The answer is a range, the share of draws that ever get there (`share`), or why none can be
# given.

# %%
fit = sl.fit(seen, "power_with_floor", target="error", inputs=("samples",), draws=300)
planner = sl.Planner(fit)
near, far = planner.for_target(0.05), planner.for_target(0.001)
print(near)
print(far)

# %% [markdown]
# ## Several short steps
#
# One long extrapolation is worth less than several short ones. Measure at most twice as far as
# before, ask again, stop when no more is asked for.

# %%
available = np.sort(digits.samples.unique())
reached = 100
while True:
    known = digits[digits.samples <= reached]
    fit = sl.fit(known, "power_with_floor", target="error", inputs=("samples",), draws=200)
    answer = sl.Planner(fit).for_target(0.05)
    wanted = answer.best["samples"] if answer.feasible else np.inf
    print(
        f"up to {reached:4d} images: {wanted:6.0f} wanted, in reach in {answer.share:.0%} of draws"
    )
    further = available[(available > reached) & (available <= 2 * reached)]
    if wanted <= reached or not len(further):
        break
    reached = int(further.max())
measured = digits.groupby("samples").error.mean()
first = int(measured.index[measured <= 0.05].min())
print(f"the mean of the measured runs is below 5 % from {first} images on")
axes = sl.plot.fit(fit)
