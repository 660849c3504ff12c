"""Make the bundled data set ``tiny_lm``: small byte-level language models, from scratch.

Decoder-only transformers of 4e3 to 1e6 non-embedding parameters are trained on the Python source
files of the standard library, each once through its own part of the text, and scored on files
they never saw. Every run has its own full schedule, so no run is a checkpoint of another.

Run ``python benchmarks/datasets/make_tiny_lm.py --log tiny_lm.jsonl``; stop and start it at will.
``--pilot`` prints the learning-rate trial behind ``learning_rate_for`` instead.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sysconfig
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

CONTEXT = 64  # bytes a prediction may look back on, and the length of one training window
DEPTH = 2
VOCABULARY = 256
HELD_OUT_WINDOWS = 4000  # 256 kB
HELD_OUT_SHARE = 0.03  # of the files


# ------------------------------------------------------------------------------------- text


def source_files() -> list[tuple[str, Path]]:
    """Relative name and path of every standard library source file, sorted by name."""
    root = Path(sysconfig.get_path("stdlib"))
    found = (path for path in root.rglob("*.py") if "site-packages" not in path.parts)
    return sorted((path.relative_to(root).as_posix(), path) for path in found)


def is_held_out(name: str) -> bool:
    """Whether a file is kept for scoring: decided by its name alone, so never by the run."""
    digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return digest / 2**64 < HELD_OUT_SHARE


def windows() -> tuple[np.ndarray, np.ndarray]:
    """Training and held-out text as rows of ``CONTEXT + 1`` bytes (input and next byte)."""
    parts: dict[bool, list[bytes]] = {False: [], True: []}
    for name, path in source_files():
        parts[is_held_out(name)].append(path.read_bytes() + b"\0")
    train, held_out = (
        np.frombuffer(b"".join(parts[kept]), dtype=np.uint8) for kept in (False, True)
    )
    return _rows(train), _spread(_rows(held_out), HELD_OUT_WINDOWS)


def _rows(text: np.ndarray) -> np.ndarray:
    count = (len(text) - 1) // CONTEXT
    inputs = text[: count * CONTEXT].reshape(count, CONTEXT)
    following = text[CONTEXT : count * CONTEXT + 1 : CONTEXT]
    return np.concatenate([inputs, following[:, None]], axis=1)


def _spread(rows: np.ndarray, count: int) -> np.ndarray:
    return rows[np.linspace(0, len(rows) - 1, count).astype(int)]


# ------------------------------------------------------------------------------------ model


class Block(nn.Module):
    """Pre-norm attention and feed-forward layer: 12 width^2 weights, nothing else."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = max(1, round(width / 16))
        self.mix = nn.Linear(width, 3 * width, bias=False)
        self.merge = nn.Linear(width, width, bias=False)
        self.rise = nn.Linear(width, 4 * width, bias=False)
        self.fall = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: torch.Tensor, rotation: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        rows, length, width = x.shape
        mixed = self.mix(F.rms_norm(x, (width,)))
        mixed = mixed.view(rows, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        query, key = rotate(mixed[:2], rotation).unbind(0)
        heard = F.scaled_dot_product_attention(query, key, mixed[2], is_causal=True)
        x = x + self.merge(heard.transpose(1, 2).reshape(rows, length, width))
        return x + self.fall(F.gelu(self.rise(F.rms_norm(x, (width,))), approximate="tanh"))


def rotate(x: torch.Tensor, rotation: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Rotary position encoding, which has no weights."""
    cos, sin = rotation
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


class LanguageModel(nn.Module):
    """Byte embedding, ``DEPTH`` blocks and an untied output layer that starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(DEPTH))
        self.head = nn.Linear(width, VOCABULARY, bias=False)
        half = width // self.blocks[0].heads // 2
        angle = torch.arange(CONTEXT)[:, None] * 1000.0 ** (-torch.arange(half) / half)
        self.register_buffer("cos", angle.cos().repeat(1, 2))
        self.register_buffer("sin", angle.sin().repeat(1, 2))
        for weight in self.parameters():
            nn.init.normal_(weight, std=width**-0.5)
        nn.init.normal_(self.embed.weight)
        nn.init.zeros_(self.head.weight)
        for block in self.blocks:
            nn.init.normal_(block.fall.weight, std=(8 * width * DEPTH) ** -0.5)
            nn.init.normal_(block.merge.weight, std=(2 * width * DEPTH) ** -0.5)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        x = self.embed(inputs)
        for block in self.blocks:
            x = block(x, (self.cos, self.sin))
        return self.head(F.rms_norm(x, x.shape[-1:]))


# --------------------------------------------------------------------------------- training


def learning_rate_for(width: int) -> float:
    """Peak learning rate of the blocks: within a few per cent of the best loss at each width.

    Factors of 0.35 to 2.8 around it were tried at widths 16 to 192 and 1e5 to 1.6e6 tokens.
    """
    return 0.34 / width


def batch_for(tokens: float) -> int:
    """Windows per step: the number of steps and the batch both grow as the square root."""
    steps = 800 * math.sqrt(tokens / 1e5)
    return max(1, round(tokens / steps / CONTEXT))


def train(
    width: int,
    tokens: int,
    seed: int,
    rate_factor: float = 1.0,
    *,
    text: np.ndarray,
    held_out: np.ndarray,
) -> dict[str, float]:
    """Train one model to the end of its own schedule and score it on the held-out files."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    batch = batch_for(tokens)
    steps = round(tokens / CONTEXT / batch)
    if steps * batch > len(text):
        raise ValueError(f"{tokens} tokens asked, {len(text) * CONTEXT} bytes of text: no repeats")
    order = np.random.default_rng(seed).permutation(len(text))[: steps * batch]
    model = LanguageModel(width).to(device)
    rate = rate_factor * learning_rate_for(width)
    optimiser = torch.optim.AdamW(
        [
            {"params": model.blocks.parameters(), "lr": rate},
            {"params": [model.embed.weight], "lr": 0.02, "weight_decay": 0.0},
            {"params": [model.head.weight], "lr": rate},
        ],
        betas=(0.9, 0.97),
        weight_decay=0.05,
    )
    warm_up = max(1, round(0.1 * steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda s: min((s + 1) / warm_up, (steps - s) / (steps - warm_up))
    )
    weights = list(model.parameters())
    for step in range(steps):
        rows = torch.from_numpy(text[order[step * batch : (step + 1) * batch]]).to(device).long()
        loss = next_byte_loss(model, rows)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        schedule.step()
    params = sum(weight.numel() for weight in model.blocks.parameters())
    return {
        "params": params,
        "params_embedding": sum(weight.numel() for weight in weights) - params,
        "tokens_seen": steps * batch * CONTEXT,
        "depth": DEPTH,
        "learning_rate": rate,
        "batch_size": batch * CONTEXT,
        "steps": steps,
        "loss": score(model, held_out, device),
    }


def next_byte_loss(model: nn.Module, rows: torch.Tensor) -> torch.Tensor:
    """Mean cross entropy of the next byte [nats]."""
    logits = model(rows[:, :-1])
    return F.cross_entropy(logits.reshape(-1, VOCABULARY), rows[:, 1:].reshape(-1))


@torch.no_grad()
def score(model: nn.Module, held_out: np.ndarray, device: str) -> float:
    """Loss over the held-out windows [nats per byte]."""
    pieces = np.array_split(held_out, math.ceil(len(held_out) / 200))
    total = sum(
        float(next_byte_loss(model, torch.from_numpy(piece).to(device).long())) * len(piece)
        for piece in pieces
    )
    return total / len(held_out)


# ------------------------------------------------------------------------------------- grid


WIDTHS = (16, 24, 32, 48, 64, 96, 128, 192)
TOKENS = tuple(100_000 * 2**k for k in range(8))


def flops_of(config: dict[str, Any]) -> float:
    """Training compute, 6 x non-embedding parameters x tokens."""
    return 6.0 * 12 * DEPTH * config["width"] ** 2 * config["tokens"]


def plan(largest_flops: float) -> list[dict[str, Any]]:
    """Runs in the order to do them: the set is of use wherever the time runs out.

    First the cells of the grid that cost little, cheapest first; then two more seeds of the
    small and the middle; then the large cells, which a cautious fit holds out.
    """
    cells = [{"width": w, "tokens": t} for w in WIDTHS for t in TOKENS]
    cells = sorted((c for c in cells if flops_of(c) <= largest_flops), key=flops_of)
    large = [cell for cell in cells if flops_of(cell) > 0.15 * largest_flops]
    middle = [c for c in cells if c["width"] in (16, 32, 64) and c["tokens"] in (400_000, 800_000)]
    small = [c for c in cells if c["width"] <= 48 and c["tokens"] <= 200_000]
    first = [cell for cell in cells if cell not in large]
    return [
        {**cell, "seed": seed}
        for group, seeds in ((first, [0]), (middle, [1, 2]), (small, [1, 2]), (large, [0]))
        for cell in group
        for seed in seeds
    ]


# ------------------------------------------------------------------------------- data set

COLUMNS = {
    "params": "model parameters without embedding and output layer [count]",
    "params_embedding": "parameters of the embedding and the output layer [count]",
    "tokens": "training tokens (bytes) processed, each once [count]",
    "flops": "training compute, 6 x params x tokens [FLOP]",
    "loss": "cross entropy of the next byte on held-out files [nats per byte]",
    "seed": "of the initial weights and of the choice and order of the text",
    "width": "width of the model [count]",
    "depth": "layers [count]",
    "learning_rate": "peak learning rate of the layers",
    "batch_size": "tokens per step [count]",
    "steps": "optimiser steps [count]",
    "seconds": "wall time of training and scoring [s]",
    "cpu_seconds": "processor time of training and scoring [s]",
    "peak_memory": "peak memory above what was held before training [bytes]",
}
DESCRIPTION = (
    "Byte-level decoder-only transformers trained from scratch on the Python source files of the "
    f"standard library, context {CONTEXT} bytes, {DEPTH} layers, each byte at most once; AdamW, "
    "peak learning rate 0.34 / width from a pilot, batch and steps both growing as the square "
    "root of the tokens, warm-up over a tenth of the steps and linear decay to zero at each run's "
    f"own end; scored on {HELD_OUT_WINDOWS * CONTEXT} fixed bytes of files kept apart."
)


def write(runs: Any, largest_flops: float, directory: Path) -> None:
    """Write the finished runs as csv and what is known of them as json."""
    runs = runs[runs.status == "ok"].assign(tokens=lambda frame: frame.tokens_seen)
    runs = runs.assign(flops=6.0 * runs.params * runs.tokens)
    counts = ["params", "params_embedding", "tokens", "depth", "batch_size", "steps"]
    runs = runs.astype({**dict.fromkeys(counts, "int64"), "peak_memory": "int64"})
    runs = runs.round({"loss": 6, "seconds": 3, "cpu_seconds": 3})
    runs = runs.sort_values(["params", "tokens", "seed"])
    provenance = {
        "name": "tiny_lm",
        "description": DESCRIPTION,
        "columns": COLUMNS,
        "command": f"python benchmarks/datasets/make_tiny_lm.py --largest-flops {largest_flops:g}",
        "date": max(runs.started)[:10],
        "versions": dict(entry.split(" ", 1) for entry in runs.versions.iloc[-1].split(", ")),
        "runs": len(runs),
        "total_seconds": round(float(runs.seconds.sum()), 1),
        "threads_per_run": 1,
    }
    runs[list(COLUMNS)].to_csv(directory / "tiny_lm.csv", index=False)
    text = json.dumps(provenance, indent=2) + "\n"
    (directory / "tiny_lm.json").write_text(text, encoding="utf-8")


def main() -> None:
    import make_tiny_lm as here  # by its name, so that the child processes can import it too

    import scaling_laws as sl

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--log", type=Path, default=Path("tiny_lm.jsonl"))
    parser.add_argument("--largest-flops", type=float, default=9e12)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--write-only", action="store_true", help="write what the log has")
    parser.add_argument("--pilot", action="store_true", help="try learning rates instead")
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path(__file__).parents[2] / "scaling_laws" / "data" / "datasets",
    )
    options = parser.parse_args()
    if options.write_only:
        write(sl.read_log(options.log), options.largest_flops, options.directory)
        return
    text, held_out = windows()
    job = partial(here.train, text=text, held_out=held_out)
    if options.pilot:
        trial = sl.grid(width=[16, 64, 192], tokens=200_000, seed=0, rate_factor=[0.5, 1, 2])
        print(sl.sweep(job, trial, workers=options.workers)[["width", "rate_factor", "loss"]])
        return
    configurations = plan(options.largest_flops)
    runs = sl.sweep(job, configurations, log=options.log, workers=options.workers, isolate=True)
    write(runs, options.largest_flops, options.directory)


if __name__ == "__main__":
    main()
