# %% [markdown]
# # Writing a law of your own: what is a web token worth?
#
# Two corpora, one clean and short, one from the web and endless. Say that a web token is worth
# `w` clean ones:
#
# $$L = E + A N^{-\alpha} + B (D_{clean} + w D_{web})^{-\beta}$$
#
# No law of the library says that. It takes a function, a declaration, and a check.

# %%
from dataclasses import replace

import numpy as np
import pandas as pd

import scaling_laws as sl
from scaling_laws.laws.family import amplitude, exponent, floor, shape


def worth(N, clean, web, E, A, alpha, B, beta, w):
    """Loss of a model trained on two corpora."""
    return E + A * N**-alpha + B * (clean + w * web) ** -beta


def worth_rescale(coef, factors):
    """Coefficients after inputs changed their units; both kinds of token have one."""
    size, data, _ = factors
    return {
        **coef,
        "A": coef["A"] * size ** coef["alpha"],
        "B": coef["B"] * data ** coef["beta"],
    }


family = sl.LawFamily(
    name="two_corpora",
    function=worth,
    inputs=("params", "clean_tokens", "web_tokens"),
    coefficients=(
        floor("E"),
        amplitude("A"),
        exponent("alpha"),
        amplitude("B"),
        exponent("beta"),
        shape("w", meaning="clean tokens that a web token is worth"),
    ),
    formula=r"E + A N^{-\alpha} + B (D_{clean} + w D_{web})^{-\beta}",
    reference="this notebook",
    example={"E": 1.7, "A": 480.0, "alpha": 0.35, "B": 2000.0, "beta": 0.37, "w": 0.4},
    rescale=worth_rescale,
    units=("size", "tokens", "tokens"),
)

# %% [markdown]
# ## Check: every promise of the declaration is tried
#
# Values, broadcasting, derivatives, the claim that coefficients are linear, recovery from runs
# without noise. A broken promise comes with its remedy:

# %%
sl.testing.check_law(family)


def forgets_units(coef, factors):
    """A wrong claim: that coefficients do not care about units."""
    del factors
    return coef


try:
    sl.testing.check_law(replace(family, name="wrong", rescale=forgets_units))
except sl.LawError as error:
    print(str(error)[:300])

# %% [markdown]
# ## Fit it to runs whose truth is known

# %%
truth = family.with_coef(family.example)
rng = np.random.default_rng(0)
runs = pd.DataFrame(
    {
        "params": np.repeat(np.geomspace(5e7, 1e9, 5), 12),
        "clean_tokens": np.tile(np.repeat([1e9, 3e9, 1e10], 4), 5),
        "web_tokens": np.tile([1e8, 3e9, 1e10, 3e10], 15),
    }
)
runs["loss"] = truth(**runs) * np.exp(0.003 * rng.standard_normal(len(runs)))
fit = sl.fit(runs, family, draws=300)
print(fit)
low, high = fit.interval(0.9).loc["w"]
print(f"a web token is worth {fit.coef['w']:.2f} clean ones, {low:.2f} to {high:.2f} (truth 0.40)")

# %% [markdown]
# ## Plan with it
#
# Ten billion clean tokens are there; how many web tokens, and how large a model? The cost has to
# know that both kinds are processed: a function of your own, whose `tokens` is an input of the
# law.


# %%
def processed(params, clean_tokens, tokens):
    """FLOP of a run on both corpora."""
    return 6 * params * (clean_tokens + tokens)


known = family.bind(("params", "clean_tokens", "tokens")).with_coef(fit.coef)
cost = sl.FunctionCost("both corpora", ("params", "clean_tokens", "tokens"), processed)
plan = sl.Planner(known, cost, fixed={"clean_tokens": 1e10}).for_budget(flops=1e21)
print(plan)

# %% [markdown]
# ## Make it known by name
#
# Registered, it works wherever a name does, and saved fits of it load. To ship it with a package
# of yours, name it in the entry-point group `scaling_laws.laws`.

# %%
if "two_corpora" not in sl.list_laws():
    sl.register(family)
print(sl.fit(runs, "two_corpora", draws=0).coef)
