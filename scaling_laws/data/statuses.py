"""Words that trackers use for how a run ended."""

from __future__ import annotations

from typing import Any

FINISHED = frozenset({"ok", "finished", "completed", "complete", "done", "success", "succeeded"})
UNFINISHED = frozenset(
    {"error", "failed", "crashed", "killed", "timeout", "nan", "diverged", "running", "preempted",
     "out_of_memory", "unfinished", "cancelled", "scheduled", "none"}
)  # fmt: skip
NO_STATUS = "none"


def status_word(value: Any) -> str:
    """Return a status in lower case; a missing one counts as no status.

    Parameters
    ----------
    value : object
        Cell of a table.

    Returns
    -------
    str

    Examples
    --------
    >>> status_word(" FINISHED "), status_word(None)
    ('finished', 'none')
    """
    if value is None or str(value) == "<NA>" or (isinstance(value, float) and value != value):
        return NO_STATUS
    return str(value).strip().lower()
