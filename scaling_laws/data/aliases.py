"""Which column is which: the names that trackers, papers and people give to the same quantity.

The table is data: to teach the reader a new name, add it to ``ALIASES``. Names are compared in
lower case with every other character than letters and digits read as ``_``; within a quantity the
first name that a table has wins. Sources: the column names listed by the trackers' own
documentation and by published tables (Hoffmann et al. 2022; Besiroglu et al. 2024; Li et al. 2025).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from scaling_laws.data.numerals import unit_factor
from scaling_laws.quantities import TARGET_NAMES

ALIASES: dict[str, tuple[str, ...]] = {
    "params": (
        "params", "n_params", "num_params", "parameters", "n_parameters", "num_parameters",
        "parameter_count", "params_count", "param_count", "total_params", "total_parameters",
        "model_params", "model_parameters", "model_size", "trainable_params", "nparams",
        "number_of_parameters", "num_model_params",
    ),
    "params_non_embedding": (
        "params_non_embedding", "non_embedding_params", "non_embedding_parameters",
        "num_non_embedding_params", "params_no_emb", "params_no_embedding", "n_no_emb",
        "n_non_emb", "n_non_embedding",
    ),
    "tokens": (
        "tokens", "n_tokens", "num_tokens", "total_tokens", "training_tokens", "train_tokens",
        "tokens_seen", "num_tokens_seen", "tokens_processed", "consumed_tokens", "tokens_trained",
        "throughput_total_tokens", "num_input_tokens_seen", "train_num_input_tokens_seen",
        "number_of_tokens",
    ),
    "unique_tokens": ("unique_tokens", "distinct_tokens", "num_unique_tokens", "n_unique_tokens"),
    "flops": (
        "achieved_flops", "flops", "total_flops", "training_flops", "train_flops", "flop",
        "training_flop", "total_flop", "compute", "training_compute", "train_compute",
        "total_compute", "total_flos", "train_total_flos", "throughput_total_flops",
    ),
    "samples": (
        "samples", "n_samples", "num_samples", "train_size", "train_sizes", "n_train",
        "training_samples", "train_samples", "anchor",
    ),
    "steps": ("steps", "total_steps", "max_steps", "num_steps", "training_steps", "train_steps"),
    "epochs": ("epochs", "num_epochs", "n_epochs", "num_train_epochs", "max_epochs"),
    "experts": ("experts", "n_experts", "num_experts"),
    "vocab_size": ("vocab_size", "vocabulary_size", "n_vocab"),
    "learning_rate": (
        "learning_rate", "peak_learning_rate", "max_learning_rate", "lr", "peak_lr", "max_lr",
        "train_learning_rate", "train_lr", "optimizer_learning_rate", "optim_lr", "learningrate",
    ),
    "batch_size": (
        "batch_size_tokens", "tokens_per_batch", "batch_tokens", "batch_size", "global_batch_size",
        "train_batch_size", "batch", "bs", "batchsize",
    ),
    "width": ("width", "d_model", "hidden_size", "model_dim", "n_embd"),
    "depth": ("depth", "n_layers", "num_layers", "num_hidden_layers", "n_layer", "layers"),
    "seed": ("seed", "random_seed", "rng_seed", "random_state"),
    "loss": (
        "eval_loss", "val_loss", "valid_loss", "validation_loss", "test_loss", "dev_loss",
        "eval_eval_loss", "val_val_loss", "final_val_loss", "final_eval_loss", "final_test_loss",
        "heldout_loss", "held_out_loss", "eval_cross_entropy", "val_cross_entropy", "loss",
        "final_loss", "cross_entropy", "ce_loss", "crossentropyloss", "cross_entropy_loss",
    ),
    "train_loss": ("train_loss", "training_loss", "loss_train", "train_train_loss"),
    "perplexity": ("perplexity", "ppl"),
    "error": ("error", "error_rate", "err"),
    "accuracy": ("accuracy", "acc", "top1", "top_1_accuracy"),
    "balanced_accuracy": ("balanced_accuracy", "balanced_acc"),
    "f1": ("f1", "f1_score", "macro_f1"),
    "roc_auc": ("roc_auc", "auroc", "auc"),
    "seconds": ("seconds", "runtime", "train_runtime", "duration_seconds", "fit_time"),
    "run": ("run", "run_id", "run_name", "runid", "runname"),
    "step": ("step", "global_step", "trainer_global_step", "train_global_step", "train_step",
             "iteration", "iter", "eval_step"),
    "status": ("status", "state", "run_state", "run_status"),
}  # fmt: skip
SINGLE_LETTERS = {"N": "params", "D": "tokens", "C": "flops", "L": "loss", "U": "unique_tokens"}
"""Symbols of the field; lower case letters mean too many other things."""
TRACKER_ONLY = {"id": "run", "name": "run", "display_name": "run"}
"""Names that say which run a row is in a tracker's table of runs, and anything elsewhere."""
HELD_OUT = ("eval", "val", "valid", "validation", "test", "dev")
"""Prefixes of targets measured on held-out data."""
UNIT_UNKNOWN = frozenset({"batch_size", "global_batch_size", "train_batch_size", "batch", "bs"})
"""Names under which both sequences and tokens are counted."""
COUNTS = frozenset(
    {"params", "params_non_embedding", "tokens", "unique_tokens", "flops", "samples", "steps",
     "epochs", "vocab_size", "batch_size", "step", "width", "depth", "experts"}
)  # fmt: skip
"""Quantities whose numbers may carry a suffix such as ``M``."""
SCALES = frozenset(
    {"params", "params_non_embedding", "tokens", "unique_tokens", "flops", "samples"}
)
"""Quantities whose column's name may end in a unit, as in ``params_m``."""
LABELS = frozenset({"run", "status"})
"""Columns of text."""
_QUALITIES = {*TARGET_NAMES} - {"seconds", "cpu_seconds", "latency", "peak_memory"}
_FLOP_UNIT = re.compile(
    r"(?:throughput_)?(?:total|training|train)_(?P<unit>(?:k|m|g|t|p|e|z|kilo|mega|giga|tera|peta|exa|zetta)flops?)"
)


@dataclass(frozen=True)
class Match:
    """A column and the quantity it holds.

    Parameters
    ----------
    name : str
        Quantity.
    column : str
        Column of the table.
    factor : float
        Raw units in one of the column's.
    rank : int
        The smaller, the more certain.
    """

    name: str
    column: str
    factor: float
    rank: int


def normalised(column: str) -> str:
    """Return a column's name in lower case, with ``_`` for everything but letters and digits.

    Parameters
    ----------
    column : str

    Returns
    -------
    str

    Examples
    --------
    >>> normalised("throughput/total tokens"), normalised("_step"), normalised("Model Size")
    ('throughput_total_tokens', 'step', 'model_size')
    """
    return re.sub(r"[^0-9a-z]+", "_", column.strip().lower()).strip("_")


def match_column(column: str, *, tracker: bool = False) -> Match | None:
    """Tell which quantity a column holds, and in which unit, from its name alone.

    Parameters
    ----------
    column : str
        Name of the column, perhaps with a unit: ``"Model Size (M)"``, ``"tokens_billions"``.
    tracker : bool
        Whether the table is a tracker's table of runs, where ``name`` names the run.

    Returns
    -------
    Match or None

    Examples
    --------
    >>> match_column("n_params").name, match_column("Tokens (B)"), match_column("n")
    ('params', Match(name='tokens', column='Tokens (B)', factor=1000000000.0, rank=0), None)
    """
    bare, factor = _split_unit(column)
    if bare.strip() in SINGLE_LETTERS:
        return Match(SINGLE_LETTERS[bare.strip()], column, factor, 50)
    plain = normalised(bare)
    found = _look_up(plain, tracker)
    if found:
        return Match(found[0], column, factor, found[1])
    flop = _FLOP_UNIT.fullmatch(plain)
    if flop:
        unit = unit_factor(flop["unit"])
        return Match("flops", column, unit, 60) if unit else None
    base, _, unit_word = plain.rpartition("_")
    unit = unit_factor(unit_word) if base and unit_word not in {"tokens", "params", "g"} else None
    found = _look_up(base, tracker) if unit and unit != 1 and factor == 1 else None
    if found and unit and found[0] in SCALES:
        return Match(found[0], column, unit, found[1] + 100)
    return None


def _split_unit(column: str) -> tuple[str, float]:
    """Split ``"Model Size (M)"`` into the name and the factor of its unit."""
    found = re.fullmatch(r"\s*(.*?)\s*[(\[]\s*(?:in\s+)?([^()\[\]]*)[)\]]\s*", column)
    if not found or not found[1]:
        return column, 1.0
    return found[1], unit_factor(found[2]) or 1.0


def _look_up(plain: str, tracker: bool) -> tuple[str, int] | None:
    if plain in _BY_ALIAS:
        return _BY_ALIAS[plain]
    prefix, _, rest = plain.partition("_")
    if prefix in HELD_OUT and rest in _BY_ALIAS and _BY_ALIAS[rest][0] in _QUALITIES:
        return _BY_ALIAS[rest][0], -10 + HELD_OUT.index(prefix)
    if tracker and plain in TRACKER_ONLY:
        return TRACKER_ONLY[plain], 70 + list(TRACKER_ONLY).index(plain)
    return None


_BY_ALIAS: Mapping[str, tuple[str, int]] = {
    alias: (name, rank) for name, names in ALIASES.items() for rank, alias in enumerate(names)
}


def match_columns(columns: Iterable[str], *, tracker: bool = False) -> dict[str, list[Match]]:
    """Group a table's columns by the quantity they hold, the most certain first.

    Parameters
    ----------
    columns : iterable of str
    tracker : bool
        See :func:`match_column`.

    Returns
    -------
    dict of str to list of Match

    Examples
    --------
    >>> found = match_columns(["lr", "loss", "eval/loss", "my_knob"])
    >>> {name: [m.column for m in matches] for name, matches in found.items()}
    {'learning_rate': ['lr'], 'loss': ['eval/loss', 'loss']}
    """
    found: dict[str, list[Match]] = {}
    for column in columns:
        match = match_column(column, tracker=tracker)
        if match:
            found.setdefault(match.name, []).append(match)
    return {name: sorted(matches, key=lambda m: m.rank) for name, matches in found.items()}


def loss_like(columns: Iterable[str]) -> list[str]:
    """Columns that look like a held-out loss though no name of the table says so.

    Parameters
    ----------
    columns : iterable of str

    Returns
    -------
    list of str

    Examples
    --------
    >>> loss_like(["eval/c4_en/CrossEntropyLoss", "train/loss", "cd_val_loss", "lr"])
    ['eval/c4_en/CrossEntropyLoss', 'cd_val_loss']
    """
    pattern = re.compile(r"(loss|bpb|cross_entropy|crossentropy|nll)$")
    return [
        c
        for c in columns
        if pattern.search(normalised(c)) and not re.match(r"train", normalised(c))
    ]
