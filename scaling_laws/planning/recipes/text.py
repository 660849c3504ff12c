"""How a comparison is shown: plain text, HTML and JSON. Nothing is computed."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from scaling_laws.planning.recipes.compare import Comparison


def as_text(comparison: Comparison) -> str:
    """Return the printed form."""
    lines = [_title(comparison), _how(comparison)]
    lines += _shown(comparison).to_string(index=False, na_rep="-").split("\n")
    lines += [f"{'!' if n.severity == 'warning' else '-'} {n}" for n in comparison.notes]
    return "\n".join(lines)


def as_html(comparison: Comparison) -> str:
    """Return the notebook form."""
    notes = "".join(
        f"<li><code>{html.escape(n.code)}</code> {html.escape(n.message)}</li>"
        for n in comparison.notes
    )
    listed = f"<ul>{notes}</ul>" if notes else ""
    return (
        f"<p><b>{html.escape(_title(comparison))}</b><br>{html.escape(_how(comparison))}</p>"
        f"{_shown(comparison).to_html(index=False, na_rep='-')}{listed}"
    )


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """Return the JSON-ready form."""
    return {
        "recipes": list(comparison.names),
        "reference": comparison.reference,
        "target": comparison.target,
        "along": comparison.along,
        "today": comparison.today,
        "level": comparison.level,
        "weights": dict(comparison.weights),
        "drift": comparison.gap.drift,
        "table": [_plain(row) for row in comparison.table.to_dict("records")],
        "backtest": [_plain(row) for row in comparison.backtest.to_dict("records")],
        "notes": [n.to_dict() for n in comparison.notes],
    }


def _title(comparison: Comparison) -> str:
    others = [n for n in comparison.names if n != comparison.reference]
    return f"Comparison of {comparison.target}: {', '.join(others)} against {comparison.reference}"


def _how(comparison: Comparison) -> str:
    ideas = ", ".join(f"{n} {w:.2f}" for n, w in comparison.weights.items())
    path = f", {comparison.path.label}" if comparison.path.label else ""
    return (
        f"along {comparison.along}{path} | measured together to {comparison.today:.3g} | "
        f"gap: {ideas} | {len(comparison.backtest)} held-out windows"
    )


def _shown(comparison: Comparison) -> pd.DataFrame:
    """Return the columns that are printed, rounded."""
    import pandas as pd

    table, level = comparison.table, f"{100 * comparison.level:g} % interval"
    columns: dict[str, Any] = {comparison.along: [f"{v:.3g}" for v in table[comparison.along]]}
    if len(comparison.names) > 2:
        columns["recipe"] = table["recipe"]
    ends = zip(table["difference_low"], table["difference_high"], strict=True)
    columns |= {
        comparison.target: [f"{v:.4g}" for v in table[comparison.target]],
        "difference": [f"{v:+.3g}" for v in table["difference"]],
        level: ["-" if np.isnan(a) else f"{a:+.3g} to {b:+.3g}" for a, b in ends],
        "P(better)": ["-" if np.isnan(p) else f"{p:.2f}" for p in table["p_better"]],
        "winner": table["winner"],
        "decades ahead": [f"{v:.1f}" for v in table["extrapolation"]],
    }
    return pd.DataFrame(columns)


def _plain(row: dict[Any, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, np.generic):
            value = value.item()
        lost = isinstance(value, float) and not np.isfinite(value)
        out[str(name)] = None if lost else value
    return out
