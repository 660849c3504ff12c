"""From logs, exports and spreadsheets to one tidy table of runs, with a report of what was done."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scaling_laws.data.aliases import ALIASES
from scaling_laws.data.checkpoints import one_row_a_run
from scaling_laws.data.constants import Constants, add_constants
from scaling_laws.data.converting import check_domains, choose_status, settle_status
from scaling_laws.data.histories import check_policy
from scaling_laws.data.naming import Columns
from scaling_laws.data.read_report import Ledger, ReadReport, joined, with_report
from scaling_laws.data.shapes import HISTORIES, SHAPES
from scaling_laws.data.single_source import below, read_one, run_labels
from scaling_laws.data.sources import CONTAINERS, Wanted, expand, is_path
from scaling_laws.data.statuses import UNFINISHED, status_word
from scaling_laws.data.table_checks import check_duplicates, check_flops
from scaling_laws.errors import DataError, suggest
from scaling_laws.quantities import INPUT_NAMES, TARGET_NAMES

if TYPE_CHECKING:
    import pandas as pd

_FIRST = ("run", "step", "status")


def read_runs(
    source: str | os.PathLike[str] | pd.DataFrame | Sequence[Any] | Mapping[str, Any],
    *,
    format: str | None = None,
    target: str = "loss",
    inputs: Sequence[str] | None = None,
    columns: Columns | None = None,
    units: Mapping[str, float | str] | None = None,
    constants: Constants | None = None,
    group: str | None = None,
    policy: str = "final",
    last: int | float = 0.05,
    status: str | Sequence[str] = "keep",
    strict: bool = False,
    decimal: str | None = None,
    encoding: str | None = None,
) -> pd.DataFrame:
    r"""Read runs from whatever logged them into one tidy table.

    Nothing is silent: what was dropped, converted, renamed or filled in is counted in
    ``read_report(frame)``, and what should be doubted is a note there. Nothing in a file is ever
    executed.

    Parameters
    ----------
    source : path, sequence of paths, DataFrame, mapping of columns, sequence of records, or tuple
        A CSV (commas, tabs, semicolons, bars), JSON, JSON lines, Parquet or Excel (``.xlsx``, one
        sheet) file; an export of
        Weights & Biases (history, table of runs, chart) or MLflow (``search_runs``, metric
        history); a Hugging Face ``trainer_state.json``; a Lightning ``metrics.csv``; a folder of
        those two or of TensorBoard event files; or the tuple of scikit-learn's ``learning_curve``.
        Several files are put below each other, each a run by the name of its file or folder.
    format : str, optional
        Overrides what is recognised: a container (``"csv"``, ``"json"``, ``"jsonl"``,
        ``"parquet"``) or a shape (``"table"``, ``"spreadsheet"``, ``"wandb_history"``,
        ``"wandb_runs"``, ``"wandb_chart"``, ``"mlflow"``, ``"metric_history"``,
        ``"trainer_state"``, ``"lightning"``, ``"tensorboard"``, ``"learning_curve"``).
    target : str
        What was measured; a training loss is never taken for ``"loss"`` unasked.
    inputs : sequence of str, optional
        Quantities that must be there.
    columns : mapping, optional
        The library's names to the table's, as in ``fit``. A list of columns for the target is
        averaged. Default: the names of ``scaling_laws.data.aliases``.
    units : mapping, optional
        How many raw units one of the table's is, by the library's name: ``{"params": "M"}`` or
        ``{"accuracy": 0.01}``.
    constants : mapping, optional
        What the table does not say: ``{"params": 1.2e8}`` for all runs, or
        ``{"run-a": {"params": 1.2e8}, ...}``. Fills missing cells only.
    group : str, optional
        Column of what will be fitted apart; kept as text.
    policy : {"final", "last_mean", "best", "all"}
        Row that stands for a run where it has several: the last with the target; the same with the
        target's mean over the ``last`` ones; the best (too good, and noted so); or all of them.
    last : int or float
        Rows of ``"last_mean"``, or their share of the run's.
    status : {"keep", "finished"} or sequence of str
        Rows to keep. By default runs that diverged, crashed or are still running stay, with their
        ``status``; ``fit`` leaves them out and counts them.
    strict : bool
        Raise at a cell that should be a number and is not. Default: it becomes missing, counted.
    decimal : {".", ","}, optional
        Decimal sign of a text table. Default: told from its cells.
    encoding : str, optional
        Of a text file. Default: UTF-8, or UTF-16 with its mark.

    Returns
    -------
    DataFrame
        ``run``, ``step``, ``status`` and the group where known, inputs and the target under the
        library's names as floats in raw units, then all else that was logged.

    Raises
    ------
    DataError
        The source cannot be read, the target cannot be told, or nothing usable is left; the
        message says where, what was found, and what to do.

    Notes
    -----
    Metrics logged on different steps are never joined away: at each row of the target, counters
    such as ``tokens`` are interpolated between the records around it and all else keeps its latest
    value. ``learning_rate`` is the peak of a run's schedule.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "sweep.csv"
    >>> text = "Model Size,D (B),lr,val_loss\n210M,4.2,3e-4,3.12\n1.5B,30,2e-4,n/a\n"
    >>> _ = file.write_text(text)
    >>> read_runs(file).to_dict("list")
    {'params': [210000000.0, 1500000000.0], 'tokens': [4200000000.0, 30000000000.0],
     'loss': [3.12, nan], 'learning_rate': [0.0003, 0.0002]}
    """
    wanted = Wanted(
        format, encoding, decimal, target, _named(target, group, columns), dict(columns or {}),
        dict(units or {}), tuple(inputs or ()), group, strict,
    )  # fmt: skip
    _check_options(wanted)
    check_policy(policy, last)
    ledger = Ledger()
    frame, shapes, read = _gather(source, wanted, ledger)
    frame = add_constants(frame, constants or {}, ledger)
    frame = one_row_a_run(
        frame, history=shapes <= HISTORIES, sampled="wandb_history" in shapes, target=target,
        group=group, policy=policy, last=last, ledger=ledger,
    )  # fmt: skip
    frame = settle_status(frame, target, ledger)
    frame = choose_status(frame, status, ledger)
    frame = check_duplicates(frame, target, ledger)
    frame = check_domains(frame, (target, *INPUT_NAMES, *TARGET_NAMES), ledger)
    _check_usable(frame, wanted, ledger)
    check_flops(frame, ledger)
    frame = _ordered(frame, target, group, ledger)
    shape = " and ".join(sorted(shapes))
    steps, notes = tuple(ledger.steps), tuple(ledger.notes)
    return with_report(
        frame, ReadReport(_told(source), shape, read, len(frame), steps, notes, group)
    )


def _named(target: Any, group: Any, columns: Columns | None) -> frozenset[str]:
    """Columns that the caller named."""
    names = {str(target), *([str(group)] if group else [])}
    for column in (columns or {}).values():
        names |= {column} if isinstance(column, str) else set(column)
    return frozenset(names)


def _check_options(wanted: Wanted) -> None:
    known = (*CONTAINERS, *SHAPES)
    if wanted.format is not None and wanted.format not in known:
        raise DataError(
            f"unknown format {wanted.format!r}.{suggest(str(wanted.format), known)} Choose from: "
            f"{', '.join(known)}."
        )
    target = wanted.target
    if not isinstance(target, str) or not target or target in _FIRST:
        raise DataError(f"target must be the name of what was measured, got {target!r}.")
    if wanted.decimal not in (None, ".", ","):
        raise DataError(f"decimal must be '.' or ',', got {wanted.decimal!r}.")


def _gather(
    source: Any, wanted: Wanted, ledger: Ledger
) -> tuple[pd.DataFrame, frozenset[str], int]:
    """Read all sources, below each other."""
    sources = expand(source)
    read = [
        read_one(one, label, wanted, ledger, several=len(sources) > 1)
        for one, label in zip(sources, run_labels(sources), strict=True)
    ]
    shapes = frozenset(shape for _, shape, _ in read)
    if shapes & HISTORIES and shapes - HISTORIES:
        raise DataError(
            "some sources are logs of checkpoints and some are tables of runs: "
            f"{joined(sorted(shapes))}. Read them apart; pass the settings of runs as constants=."
        )
    return below([frame for frame, _, _ in read]), shapes, sum(count for _, _, count in read)


def _told(source: Any) -> str:
    """Name of the source for the report, without its folder."""
    if is_path(source):
        return os.path.basename(os.path.normpath(os.fsdecode(source)))
    several = isinstance(source, list | tuple) and all(is_path(s) for s in source)
    return f"{len(source)} files" if several else type(source).__name__


def _check_usable(frame: pd.DataFrame, wanted: Wanted, ledger: Ledger) -> None:
    for name in (wanted.target, *wanted.inputs):
        if name not in frame:
            have = [c for c in frame.columns if frame[c].dtype.kind == "f"]
            raise DataError(
                f"no column holds the input '{name}'. Found: {joined(have, 30)}."
                f"{suggest(name, have)} Map it with columns={{'{name}': '...'}}, or say it with "
                f"constants={{'{name}': ...}}."
            )
        stopped = "status" in frame and frame["status"].map(status_word).isin(UNFINISHED).any()
        if not frame[name].notna().any() and not stopped:
            why = [str(n) for n in ledger.notes if n.details.get("column") == name]
            told = f" {why[0]}." if why else ""
            raise DataError(
                f"'{name}' has no usable value in {len(frame)} rows.{told} Check the column, "
                "or map another with columns=."
            )


def _ordered(frame: pd.DataFrame, target: str, group: str | None, ledger: Ledger) -> pd.DataFrame:
    """Put known columns first and leave out those without any value."""
    empty = [c for c in frame.columns if c != target and frame[c].isna().all()]
    if empty:
        ledger.add("dropped", joined(empty, 6), "columns without any value", count=len(empty))
    keep = [c for c in frame.columns if c not in empty]
    wished = [
        *_FIRST,
        *([group] if group else []),
        *INPUT_NAMES[:4],
        "params_non_embedding",
        target,
    ]
    wished += [*INPUT_NAMES, *TARGET_NAMES, *ALIASES]
    first = [c for c in dict.fromkeys(wished) if c in keep]
    return frame[first + [c for c in keep if c not in first]].reset_index(drop=True)
