"""A table's columns under the library's names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaling_laws.data.aliases import UNIT_UNKNOWN, Match, loss_like, match_columns, normalised
from scaling_laws.data.numerals import unit_factor
from scaling_laws.data.read_report import Ledger, joined
from scaling_laws.data.sources import Wanted
from scaling_laws.errors import DataError, Note, suggest

if TYPE_CHECKING:
    import pandas as pd

Columns = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True)
class Naming:
    """Which column holds which quantity, and in which unit.

    Parameters
    ----------
    chosen : dict of str to str
        Quantity to column of the table.
    factors : dict of str to float
        Raw units in one of the table's, where not 1.
    averaged : tuple of str
        Columns whose mean is the target; empty where it is a column.
    """

    chosen: dict[str, str]
    factors: dict[str, float]
    averaged: tuple[str, ...]


def name_columns(have: Sequence[str], wanted: Wanted, *, tracker: bool, ledger: Ledger) -> Naming:
    """Tell which column holds which quantity.

    Parameters
    ----------
    have : sequence of str
        Columns of the table.
    wanted : Wanted
        What the caller said.
    tracker : bool
        Whether the table is a tracker's table of runs.
    ledger : Ledger

    Returns
    -------
    Naming

    Raises
    ------
    DataError
        A named column is missing, or no column or several could be the target.

    Examples
    --------
    >>> have = ["n_params", "tokens (B)", "eval/loss"]
    >>> wanted = Wanted(None, None, None, "loss", frozenset())
    >>> naming = name_columns(have, wanted, tracker=False, ledger=Ledger())
    >>> naming.chosen, naming.factors
    ({'params': 'n_params', 'tokens': 'tokens (B)', 'loss': 'eval/loss'}, {'tokens': 1000000000.0})
    """
    target = wanted.target
    said = _check_said(have, target, wanted.columns)
    averaged = tuple(said.pop(target)) if isinstance(said.get(target), list) else ()
    chosen = {name: str(column) for name, column in said.items()}
    factors: dict[str, float] = {}
    taken = {*chosen.values(), *averaged}
    for name, matches in match_columns(
        [c for c in have if c not in taken], tracker=tracker
    ).items():
        if name in chosen or (name == target and averaged):
            continue
        exact = [m for m in matches if m.column == name and name != target]
        best = exact[0] if exact else matches[0]
        chosen[name] = best.column
        factors[name] = best.factor
        _tell_others(name, best, matches, target, ledger)
    if target in have and target not in chosen and not averaged:
        chosen[target] = target
    if target not in chosen and not averaged:
        chosen[target] = _find_target(have, target, ledger)
    for name, unit in wanted.units.items():
        factors[name] = _factor(name, unit)
    return Naming(chosen, {n: f for n, f in factors.items() if f != 1}, averaged)


def _check_said(have: Sequence[str], target: str, columns: Columns) -> dict[str, str | list[str]]:
    out: dict[str, str | list[str]] = {}
    for name, column in columns.items():
        wanted = [column] if isinstance(column, str) else list(column)
        for one in wanted:
            if one not in have:
                raise DataError(
                    f"columns= gives '{one}' for '{name}', which is not in the table."
                    f"{suggest(str(one), have)} Found: {joined(have, 30)}."
                )
        if not isinstance(column, str) and (name != target or not wanted):
            raise DataError(
                f"columns= gives several columns for '{name}'; only the target '{target}' may be "
                "the mean of several. Name one."
            )
        out[name] = column if isinstance(column, str) else wanted
    return out


def _tell_others(
    name: str, best: Match, matches: Sequence[Match], target: str, ledger: Ledger
) -> None:
    others = [m.column for m in matches if m is not best]
    if not others:
        return
    ledger.add("kept", joined(others), f"might be '{name}' too; '{best.column}' was taken",
               count=len(others))  # fmt: skip
    if name == target:
        ledger.note(
            Note(
                "target_chosen",
                "warning",
                f"'{best.column}' was taken for the target '{target}', not {others}. If that is "
                f"wrong, pass columns={{'{target}': ...}}",
                {"chosen": best.column, "others": others},
            )
        )


def _find_target(have: Sequence[str], target: str, ledger: Ledger) -> str:
    """Column that looks like the target though no list of names has it."""
    found = loss_like(have) if target == "loss" else []
    if len(found) == 1:
        ledger.note(
            Note(
                "target_chosen",
                "info",
                f"'{found[0]}' was taken for the target '{target}', as the only column like it",
                {"chosen": found[0], "others": []},
            )
        )
        return found[0]
    if found:
        raise DataError(
            f"several columns could be '{target}': {joined(found, 20)}. Say which with "
            f"columns={{'{target}': '...'}}; a list of several is averaged."
        )
    hint = suggest(target, have)
    if target == "loss" and any(normalised(c).startswith("train") for c in loss_like_any(have)):
        hint += " A training loss is taken only if you say so."
    raise DataError(
        f"no column holds the target '{target}'. Found: {joined(have, 30)}.{hint} Map it with "
        f"columns={{'{target}': '...'}}, or name another target=."
    )


def loss_like_any(columns: Sequence[str]) -> list[str]:
    """Columns whose name ends in ``loss``, of training too.

    Parameters
    ----------
    columns : sequence of str

    Returns
    -------
    list of str

    Examples
    --------
    >>> loss_like_any(["train/loss", "lr"])
    ['train/loss']
    """
    return [c for c in columns if normalised(c).endswith("loss")]


def _factor(name: str, unit: float | str) -> float:
    if isinstance(unit, str):
        found = unit_factor(unit)
        if found is not None:
            return found
    elif isinstance(unit, int | float) and not isinstance(unit, bool) and 0 < unit < float("inf"):
        return float(unit)
    raise DataError(
        f"units= gives {unit!r} for '{name}'. Give how many raw units one of the table's is, as a "
        "positive number or a suffix such as 'M'."
    )


def rename(frame: pd.DataFrame, naming: Naming, target: str, ledger: Ledger) -> pd.DataFrame:
    """Return the table under the library's names.

    Parameters
    ----------
    frame : DataFrame
    naming : Naming
    target : str
    ledger : Ledger

    Returns
    -------
    DataFrame
        A column that stands in the way of a chosen name gets ``_as_found`` appended.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"eval_loss": [3.0], "loss": [3.3]})
    >>> naming = Naming({"loss": "eval_loss"}, {}, ())
    >>> list(rename(frame, naming, "loss", Ledger()).columns)
    ['loss', 'loss_as_found']
    """
    new = {column: name for name, column in naming.chosen.items()}
    if len(new) < len(naming.chosen):
        raise DataError("columns= gives one column to two quantities. Copy it first.")
    names = [*naming.chosen, *([target] if naming.averaged else [])]
    for column in frame.columns:
        if column in names and column not in new:
            spare = f"{column}_as_found"
            while spare in frame.columns:
                spare += "_"
            new[column] = spare
    for column, name in new.items():
        if column == name:
            continue
        unit = "; counted in sequences or tokens, as found" if normalised(column) in UNIT_UNKNOWN \
            and name == "batch_size" else ""  # fmt: skip
        ledger.add("renamed", column, f"{name}{unit}", count=1)
    return frame.rename(columns=new)
