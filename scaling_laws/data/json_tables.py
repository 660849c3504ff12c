"""Records from JSON and JSON lines, nested ones flattened; nothing is ever executed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scaling_laws.data.read_report import Ledger, joined
from scaling_laws.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Record = dict[str, Any]
_DEEPEST = 8  # levels of nested records that are flattened
_LONGEST_INTEGER = 300  # digits; longer ones are beyond floating point


def parse_json(text: str, where: str) -> Any:
    """Return what a JSON text says; integers too long for a float stay text.

    Parameters
    ----------
    text : str
    where : str
        The file, for messages.

    Returns
    -------
    object

    Raises
    ------
    DataError
        Not JSON, cut short, or nested too deeply.

    Examples
    --------
    >>> parse_json('{"loss": NaN, "tokens": 1}', "x.json")
    {'loss': nan, 'tokens': 1}
    """
    try:
        return json.loads(text, parse_int=_integer)
    except RecursionError:
        raise DataError(f"{where} is nested too deeply to be a table of runs.") from None
    except ValueError as error:
        raise DataError(
            f"{where} is not JSON: {error}. It may be cut short; write it again."
        ) from None


def _integer(text: str) -> int | str:
    return int(text) if len(text) <= _LONGEST_INTEGER else text


def parse_json_lines(text: str, where: str, ledger: Ledger) -> tuple[list[Record], int]:
    r"""Return the records of a file with one JSON object a line; other lines are left out.

    Parameters
    ----------
    text : str
    where : str
        The file, for messages.
    ledger : Ledger

    Returns
    -------
    list of dict
    int
        Lines read that are not blank.

    Raises
    ------
    DataError
        No line is a record.

    Examples
    --------
    >>> parse_json_lines('{"loss": 3.1}\n{"loss": 2.', "x.jsonl", Ledger())
    ([{'loss': 3.1}], 2)
    """
    records: list[Record] = []
    bad: list[int] = []
    lines = [line for line in text.split("\n") if line.strip()]
    for number, line in enumerate(lines, start=1):
        try:
            record = parse_json(line, where)
        except DataError:
            record = None
        if isinstance(record, dict):
            records.append(record)
        else:
            bad.append(number)
    if not records:
        raise DataError(f"{where} has no line that is a JSON record. Give one object a line.")
    if bad:
        ledger.add("dropped", "rows", "lines that are not JSON records", rows=-len(bad),
                   count=len(bad), examples=[f"line {n}" for n in bad])  # fmt: skip
    return records, len(lines)


def json_records(content: Any, where: str) -> list[Record]:
    """Return the records that a JSON document holds.

    Parameters
    ----------
    content : object
        A list of objects, an object of equally long lists, ``{"columns": ..., "data": ...}``, or
        an object with one list of objects.
    where : str
        The file, for messages.

    Returns
    -------
    list of dict

    Raises
    ------
    DataError
        None of these.

    Examples
    --------
    >>> json_records({"N": [1, 2], "loss": [3.0, 2.9]}, "x.json")
    [{'N': 1, 'loss': 3.0}, {'N': 2, 'loss': 2.9}]
    >>> json_records({"runs": [{"loss": 3.0}]}, "x.json")
    [{'loss': 3.0}]
    """
    if isinstance(content, list) and content and all(isinstance(r, dict) for r in content):
        return content
    if isinstance(content, dict):
        if _is_split(content):
            names = [str(c) for c in content["columns"]]
            return [dict(zip(names, row, strict=True)) for row in content["data"]]
        lists = {k: v for k, v in content.items() if isinstance(v, list)}
        tables = [v for v in lists.values() if v and all(isinstance(r, dict) for r in v)]
        if len(tables) == 1:
            return tables[0]
        sizes = {len(v) for v in lists.values()}
        if lists and len(lists) == len(content) and len(sizes) == 1 and not tables:
            return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
        if content and not lists:
            return [content]
    raise DataError(
        f"{where} holds no table: give a list of records, one object of equally long columns, or "
        "one record a line."
    )


def _is_split(content: Mapping[str, Any]) -> bool:
    names, data = content.get("columns"), content.get("data")
    return (
        isinstance(names, list)
        and isinstance(data, list)
        and bool(data)
        and all(isinstance(row, list) and len(row) == len(names) for row in data)
    )


def flatten(record: Mapping[str, Any], lost: list[str] | None = None) -> Record:
    """Return a record without nesting: ``{"a": {"b": 1}}`` becomes ``{"a.b": 1}``.

    Parameters
    ----------
    record : mapping
    lost : list of str, optional
        Receives the names of lists and of records nested too deeply, which are left out.

    Returns
    -------
    dict

    Examples
    --------
    >>> flatten({"config": {"lr": 1e-3}, "summary": {"loss": 3.0, "history": [1, 2]}})
    {'config.lr': 0.001, 'summary.loss': 3.0}
    """
    out: Record = {}
    left = [] if lost is None else lost

    def walk(prefix: str, value: Any, depth: int) -> None:
        if isinstance(value, Mapping) and depth < _DEEPEST:
            for name, inner in value.items():
                walk(f"{prefix}.{name}" if prefix else str(name), inner, depth + 1)
        elif isinstance(value, Mapping | list | tuple):
            left.append(prefix)
        else:
            out[prefix] = value

    walk("", record, 0)
    return out


def records_to_frame(records: Sequence[Mapping[str, Any]], ledger: Ledger) -> pd.DataFrame:
    """Return records as a table of untouched cells; what a record lacks is None.

    Parameters
    ----------
    records : sequence of mapping
    ledger : Ledger

    Returns
    -------
    DataFrame of objects

    Examples
    --------
    >>> records_to_frame([{"a": 1}, {"b": float("nan")}], Ledger()).values.tolist()
    [[1, None], [None, nan]]
    """
    import pandas as pd

    lost: list[str] = []
    flat = [flatten(r, lost) for r in records]
    if lost:
        names = list(dict.fromkeys(lost))
        ledger.add("dropped", joined(names, 5), "lists and deep nesting", count=len(lost))
    names = list(dict.fromkeys(name for record in flat for name in record))
    columns = {name: [record.get(name) for record in flat] for name in names}
    return pd.DataFrame(columns, dtype=object, index=range(len(flat)))


def trainer_records(state: Mapping[str, Any], where: str) -> list[Record]:
    """Return the log of a Hugging Face ``trainer_state.json`` as records, one a logging call.

    ``loss`` in that file is the training loss and is named ``train_loss``; ``eval_loss`` stays.
    The final record's ``train_loss``, a mean over the run, becomes ``train_loss_mean``. What the
    file says once, at its end (``total_flos``, ``num_input_tokens_seen``), goes to the last step. A
    ``total_flos`` of zero, as for vision models, is missing.

    Parameters
    ----------
    state : mapping
        Content of the file.
    where : str
        The file, for messages.

    Returns
    -------
    list of dict

    Raises
    ------
    DataError
        ``log_history`` is not a list of records, or is empty.

    References
    ----------
    Hugging Face Transformers, documentation of ``TrainerState``.

    Examples
    --------
    >>> log = [{"loss": 3.3, "step": 10}, {"eval_loss": 3.1, "step": 10}]
    >>> for record in trainer_records({"log_history": log, "total_flos": 1e15}, "x.json"):
    ...     print(record)
    {'train_loss': 3.3, 'step': 10}
    {'eval_loss': 3.1, 'step': 10}
    {'step': 10, 'total_flos': 1000000000000000.0}
    """
    log = state.get("log_history")
    if not isinstance(log, list) or not all(isinstance(r, dict) for r in log) or not log:
        raise DataError(
            f"{where}: 'log_history' must be a list of records, got {type(log).__name__}. Was "
            "anything logged before the file was saved?"
        )
    records: list[Record] = []
    for entry in log:
        final = "train_runtime" in entry
        names = {"train_loss": "train_loss_mean"} if final else {"loss": "train_loss"}
        records.append({names.get(k, k): v for k, v in entry.items()})
    steps = [s for r in records if isinstance(s := r.get("step"), int | float)]
    end = state.get("global_step", max(steps, default=None))
    last = {k: state[k] for k in ("total_flos", "num_input_tokens_seen") if state.get(k)}
    if last:
        records.append({"step": end, **last})
    for record in records:
        for name in ("total_flos", "num_input_tokens_seen"):
            if record.get(name) == 0:
                record[name] = None
    return records
