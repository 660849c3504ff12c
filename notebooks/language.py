# %% [markdown]
# # Language: which model, on how many tokens, for ten times the compute?
#
# Byte-level language models of 2,000 to 50,000 parameters (one hidden layer over the eight bytes
# before, Bengio et al. 2003, "A neural probabilistic language model") are trained in NumPy on the
# source of the standard library. Laws of parameters and tokens are weighed, a plan is made for ten
# times the compute of the largest run, and trained. Runs on a laptop in a few minutes
# (`SCALING_LAWS_SHORT=1`: smaller; `SCALING_LAWS_SEED=1`: other weights and text everywhere). The
# text comes with Python, so the numbers differ a little with its version.

# %%
import hashlib
import os
import sysconfig
from pathlib import Path

import numpy as np
from scipy import sparse

import scaling_laws as sl

SHORT = bool(os.environ.get("SCALING_LAWS_SHORT"))
LOG = os.environ.get("SCALING_LAWS_LOG")  # one a mode: what it holds is not done again
SEED = int(os.environ.get("SCALING_LAWS_SEED", "0"))
CONTEXT = 8  # bytes a prediction looks back on
EMBEDDING = 16  # numbers that stand for a byte
SYMBOLS = 98  # printable ASCII, newline, tab, and one for the rest

# %% [markdown]
# ## Text: whole files are held out, by their names


# %%
def read():
    """Training and held-out text as numbers of symbols."""
    number = np.full(256, SYMBOLS - 1, dtype=np.uint8)
    number[[*range(32, 127), *b"\n\t"]] = np.arange(SYMBOLS - 1)
    root = Path(sysconfig.get_path("stdlib"))
    parts = {False: [], True: []}
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root)
        if "site-packages" not in name.parts:
            held_out = hashlib.sha256(name.as_posix().encode()).digest()[0] < 8  # of 256
            parts[held_out].append(path.read_bytes() + b"\n" * CONTEXT)
    return (number[np.frombuffer(b"".join(parts[side]), np.uint8)] for side in (False, True))


text, held_out = read()
SCORED = np.linspace(0, len(held_out) - CONTEXT - 1, 20_000).astype(int)
print(f"{len(text)} bytes to train on, {len(held_out)} held out")

# %% [markdown]
# ## The model
#
# Parameters are those of the hidden and the output layer. Every run has its own full schedule, and
# steps and batch both grow as the square root of the tokens. In a trial of 0.13 to 3.3 times the
# learning rates below, at widths of 8 to 128 and 50,000 to 800,000 tokens, the best lay between 0.5
# and 1.3 times.


# %%
def params_of(width):
    """Parameters of a model without its embedding [count]."""
    return (CONTEXT * EMBEDDING + 1 + SYMBOLS) * width + SYMBOLS


def width_of(params):
    """Width of the model that is nearest to so many parameters."""
    return max(1, round((params - params_of(0)) / (params_of(1) - params_of(0))))


def forward(weights, symbols):
    """Inputs (n, CONTEXT * EMBEDDING), hidden layer and logits, shifted to a largest of 0."""
    embed, into, into_bias, out, out_bias = weights
    inputs = embed[symbols].reshape(len(symbols), -1)
    hidden = np.maximum(inputs @ into + into_bias, 0)
    logits = hidden @ out + out_bias
    return inputs, hidden, logits - logits.max(axis=1, keepdims=True)


def gradients(weights, symbols, following):
    """Of the mean cross entropy of the next symbol, with respect to every weight."""
    inputs, hidden, logits = forward(weights, symbols)
    slope = np.exp(logits)
    slope /= slope.sum(axis=1, keepdims=True)
    slope[np.arange(len(following)), following] -= 1
    slope /= len(following)
    at_hidden = (slope @ weights[3].T) * (hidden > 0)
    at_embedding = (at_hidden @ weights[1].T).reshape(-1, EMBEDDING)
    ends = np.arange(symbols.size + 1)
    ones = np.ones(symbols.size, dtype=np.float32)
    which = sparse.csc_matrix((ones, symbols.ravel(), ends), shape=(SYMBOLS, symbols.size))
    return (
        which @ at_embedding,
        inputs.T @ at_hidden,
        at_hidden.sum(axis=0),
        hidden.T @ slope,
        slope.sum(axis=0),
    )


def symbols_at(source, starts):
    """Contexts (n, CONTEXT) and the symbols that follow (n,)."""
    symbols = source[starts[:, None] + np.arange(CONTEXT)].astype(np.intp)
    return symbols, source[starts + CONTEXT]


def train(params, tokens, seed):
    """Loss [nats per byte] of one model, trained to the end of its schedule by Adam."""
    width = width_of(params)
    rng = np.random.default_rng(seed)
    steps = round(400 * np.sqrt(tokens / 25_000))
    batch = round(tokens / steps)
    starts = rng.integers(0, len(text) - CONTEXT, size=(steps, batch))
    fan_in = CONTEXT * EMBEDDING
    weights = [
        rng.normal(0, 1, (SYMBOLS, EMBEDDING)),
        rng.normal(0, fan_in**-0.5, (fan_in, width)),
        np.zeros(width),
        np.zeros((width, SYMBOLS)),
        np.zeros(SYMBOLS),
    ]
    weights = [weight.astype(np.float32) for weight in weights]
    rates = (0.03, 0.018, 0.018, 0.018 * (64 / width) ** 0.5, 0.018)
    mean = [np.zeros_like(weight) for weight in weights]
    square = [np.zeros_like(weight) for weight in weights]
    for step in range(steps):
        slopes = gradients(weights, *symbols_at(text, starts[step]))
        schedule = min((step + 1) / (0.1 * steps), (steps - step) / (0.9 * steps))
        for weight, slope, m, s, rate in zip(weights, slopes, mean, square, rates, strict=True):
            m += 0.1 * (slope - m)
            s += 0.02 * (slope**2 - s)
            spread = np.sqrt(s / (1 - 0.98 ** (step + 1))) + 1e-8
            weight -= rate * schedule / (1 - 0.9 ** (step + 1)) * m / spread
    return {"loss": score(weights)}


def score(weights):
    """Mean cross entropy of the next byte over held-out files [nats]."""
    total = 0.0
    for starts in np.array_split(SCORED, 30):
        symbols, following = symbols_at(held_out, starts)
        logits = forward(weights, symbols)[2]
        likely = logits[np.arange(len(starts)), following]
        total += float((np.log(np.exp(logits).sum(axis=1)) - likely).sum())
    return total / len(SCORED)


# %% [markdown]
# ## Measure: parameters by tokens, up to a largest compute

# %%
largest = 1.5e9 if SHORT else 6e10  # FLOP
widths = [8, 16, 32, 64] if SHORT else [8, 16, 32, 64, 128, 224]
tokens = [12_500 * 2**k for k in range(4)] if SHORT else [25_000 * 2**k for k in range(7)]
cells = sl.grid(params=[params_of(w) for w in widths], tokens=tokens, seed=10 * SEED)
cells = [cell for cell in cells if 6 * cell["params"] * cell["tokens"] <= largest]
again = tokens[1]  # three seeds at one length, which tell how much of a loss is luck
cells += [
    {**cell, "seed": cell["seed"] + k} for cell in cells if cell["tokens"] == again for k in (1, 2)
]
runs = sl.sweep(train, cells, log=LOG)
print(runs.pivot_table(index="tokens", columns="params", values="loss").round(3))
print(f"largest run {runs.flops.max():.3g} FLOP, all {runs.flops.sum():.3g} FLOP")

# %% [markdown]
# ## Select: which laws predict the larger runs from the smaller?

# %%
chosen = sl.select(runs, draws=300 if SHORT else 1000, seed=SEED)
print({law: round(weight, 2) for law, weight in chosen.weights.items()})
print([str(note) for note in chosen.notes])

# %% [markdown]
# ## Plan: ten times the compute of the largest run

# %%
plan = sl.Planner(chosen).for_budget(flops=10 * runs.flops.max())
print(plan)

# %% [markdown]
# ## Retrain at the plan, and compare
#
# Over several seeds the model comes out better than predicted, and half of the intervals miss it:
# the selection leans on coefficients that are typical of larger models, whose losses level off, and
# no floor is in sight here. Before trusting a plan, measure a run half way to it.

# %%
first = {"seed": 10 * SEED + 1_000}
found = sl.verify(plan, train, seeds=2 if SHORT else 3, given=first, log=LOG)
print(found)
print(f"{plan.best['flops'] / runs.flops.max():.1f} times the largest run; z {found.z:+.2f}")
