"""How a fit is shown: plain text and HTML. Strings out, nothing computed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from scaling_laws.errors import Note

if TYPE_CHECKING:
    from scaling_laws.fitting.groups import GroupedFit
    from scaling_laws.fitting.result import Fit
    from scaling_laws.fitting.selected_groups import GroupedSelection
    from scaling_laws.fitting.selection import Selection

_MOST_DIGITS = 7


def plain_formula(latex: str) -> str:
    r"""Return a LaTeX formula as plain text.

    Examples
    --------
    >>> plain_formula(r"L(N, D) = E + A N^{-\alpha} + B D^{-\beta}")
    'L(N, D) = E + A N^-alpha + B D^-beta'
    >>> plain_formula(r"y = c + \frac{a - c}{1 + (x/s)^{d}}")
    'y = c + (a - c) / (1 + (x/s)^d)'
    """
    out = re.sub(r"\\(left|right)", "", latex)
    fraction = re.compile(r"\\frac\{([^{}]*)\}\{((?:[^{}]|\{[^{}]*\})*)\}")
    while fraction.search(out):
        out = fraction.sub(r"(\1) / (\2)", out)
    out = re.sub(r"\^\{(-?\\?\w+)\}", r"^\1", out)
    out = re.sub(r"\^\{([^{}]*)\}", r"^(\1)", out)
    return re.sub(r"[\\{}]", "", out).replace("le j", "<= j")


def rounded(value: float, stderr: float) -> tuple[str, str]:
    """Value and standard error with two digits of the error kept.

    Examples
    --------
    >>> rounded(0.347312, 0.0147)
    ('0.347', '0.015')
    >>> rounded(2143.4, 1210.0)
    ('2100', '1200')
    >>> rounded(1.5, float("nan"))
    ('1.5', '-')
    >>> rounded(0.36, 10000.0)
    ('0.36', '10000')
    """
    if not np.isfinite(stderr) or stderr <= 0:
        return f"{value:.5g}", "-" if not np.isfinite(stderr) else "fixed"
    exponent = int(np.floor(np.log10(stderr)))
    size = int(np.floor(np.log10(max(abs(value), stderr))))
    if size - exponent > _MOST_DIGITS - 2:  # far more precise than anyone reads
        return f"{value:.{_MOST_DIGITS}g}", f"{stderr:.1e}"
    if exponent >= -5 and size < 7:
        places = 1 - exponent
        lost = places <= 0 and value != 0 and round(value, places) == 0  # no 0 for 0.4 +- 900
        return (
            f"{value:#.2g}"
            if lost and abs(value) < 1
            else f"{value:.0f}"
            if lost
            else f"{round(value, places):.{max(places, 0)}f}",
            f"{round(stderr, places):.{max(places, 0)}f}",
        )
    return f"{value:.{size - exponent + 1}e}", f"{stderr:.1e}"


def fit_text(fit: Fit) -> str:
    """Return the printed form of a fit."""
    first = [f"{_title(fit)}    {_verdict(fit.notes)}", _facts(fit)]
    return _as_text(first, _coefficient_rows(fit), fit.notes)


def fit_html(fit: Fit) -> str:
    """Return the notebook form of a fit."""
    return _as_html(
        _title(fit), _verdict(fit.notes), _facts(fit), _coefficient_rows(fit), fit.notes
    )


def grouped_text(grouped: GroupedFit) -> str:
    """Return the printed form of grouped fits: one row a group."""
    first = [f"{_grouped_title(grouped)}    {_verdict(grouped.notes)}", _grouped_facts(grouped)]
    return _as_text(first, _group_rows(grouped), grouped.notes)


def grouped_html(grouped: GroupedFit) -> str:
    """Return the notebook form of grouped fits."""
    return _as_html(
        _grouped_title(grouped),
        _verdict(grouped.notes),
        _grouped_facts(grouped),
        _group_rows(grouped),
        grouped.notes,
    )


def selection_text(selection: Selection) -> str:
    """Return the printed form of a selection."""
    title, facts = _selection_title(selection)
    first = [f"{title}    {_verdict(selection.notes)}", facts]
    return _as_text(first, _candidate_rows(selection), selection.notes)


def selection_html(selection: Selection) -> str:
    """Return the notebook form of a selection."""
    title, facts = _selection_title(selection)
    rows = _candidate_rows(selection)
    return _as_html(title, _verdict(selection.notes), facts, rows, selection.notes)


def selections_text(grouped: GroupedSelection) -> str:
    """Return the printed form of selections by group: one row a group, its heaviest law."""
    title = f"{len(grouped)} selections by {grouped.group}    {_verdict(grouped.notes)}"
    rows = [["", "runs", "heaviest", "weight", "run noise"]]
    for label, selection in grouped.items():
        law, weight = next(iter(selection.weights.items()))
        rows.append([str(label), f"{len(selection.runs)}", law, f"{weight:.2f}", _noise(selection)])
    return _as_text([title], rows, grouped.notes)


def _selection_title(selection: Selection) -> tuple[str, str]:
    laws = ", ".join(f"{name} {100 * w:.0f} %" for name, w in selection.weights.items())
    parts = [f"{len(selection.runs)} runs"]
    parts += [f"{n} {low:.3g}..{high:.3g}" for n, (low, high) in selection.ranges.items()]
    parts.append(f"run noise {_noise(selection)}")
    return f"Selection along {selection.along}: {laws}", " | ".join(parts)


def _candidate_rows(selection: Selection, most: int = 8) -> list[list[str]]:
    rows = [["", "focus", "held-out error", "weight"]]
    for row in selection.table.head(most).itertuples():
        if row.excluded:
            break
        name = f"{row.law}{', typical' if row.typical else ''}"
        rows.append([name, f"{row.focus:g}", f"{row.error:.4g}", f"{row.weight:.3f}"])
    return rows


def _as_text(first: list[str], rows: list[list[str]], notes: Sequence[Note]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = list(first)
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    lines += [f"{'!' if n.severity == 'warning' else '-'} {n}" for n in notes]
    return "\n".join(lines)


def _as_html(
    title: str, verdict: str, facts: str, table: list[list[str]], notes: Sequence[Note]
) -> str:
    header, *rows = table
    head = "".join(f"<th>{escape(c)}</th>" for c in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in rows)
    items = "".join(f"<li><code>{escape(n.code)}</code> {escape(n.message)}</li>" for n in notes)
    listed = f"<ul>{items}</ul>" if items else ""
    return (
        f"<p><b>{escape(title)}</b> &nbsp; {escape(verdict)}<br>{escape(facts)}"
        f"</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{listed}"
    )


def _grouped_title(grouped: GroupedFit) -> str:
    family = grouped.family
    return f"Fits of {family.name} by {grouped.group}: {plain_formula(family.formula)}"


def _grouped_facts(grouped: GroupedFit) -> str:
    count = sum(len(f.residuals) for f in grouped.fits)
    shared = ", ".join(grouped.shared)
    return f"{len(grouped)} groups | {count} runs | " + (
        f"in common: {shared}" if shared else "nothing in common"
    )


def _group_rows(grouped: GroupedFit) -> list[list[str]]:
    names = grouped.family.coefficient_names
    rows = [[grouped.group, "runs", *names, "run noise"]]
    for label, fit in grouped.items():
        cells = [" +- ".join(rounded(v, fit.stderr[n])) for n, v in fit.coef.items()]
        cells = [c.removesuffix(" +- -") for c in cells]
        rows.append([str(label), str(len(fit.residuals)), *cells, _noise(fit)])
    return rows


def _title(fit: Fit) -> str:
    return f"Fit of {fit.law.family.name}: {plain_formula(fit.law.family.formula)}"


def _verdict(notes: Sequence[Note]) -> str:
    warnings = sum(n.severity == "warning" for n in notes)
    if not warnings:
        return "TRUSTED"
    return f"NOT TRUSTED ({warnings} warning{'s' if warnings > 1 else ''})"


def _facts(fit: Fit) -> str:
    parts = [f"{len(fit.residuals)} runs"]
    parts += [f"{n} {low:.3g}..{high:.3g}" for n, (low, high) in fit.ranges.items()]
    if fit.runs is not None:
        parts.append(f"{fit.target} {fit.runs.y.min():.4g}..{fit.runs.y.max():.4g}")
    residual = fit.predictive.residual
    robust = "least squares" if not np.isfinite(fit.delta) else f"Huber {fit.delta:.2g}"
    parts.append(f"{residual} residual, {robust}")
    parts.append(f"run noise {_noise(fit)}")
    parts.append(f"{fit.starts_agreeing} of {fit.starts} starts agree")
    return " | ".join(parts)


def _noise(fit: Fit | Selection) -> str:
    return f"{100 * fit.noise:.2g} %" if fit.predictive.residual == "log" else f"{fit.noise:.2g}"


def _coefficient_rows(fit: Fit) -> list[list[str]]:
    rows = [["", "value", "stderr", "90 % interval", "bound"]]
    ends = fit.interval(0.9).to_numpy()
    for (name, value), (low, high) in zip(fit.coef.items(), ends, strict=True):
        stderr = fit.stderr[name]
        shown = rounded(value, stderr)
        if not np.isfinite(low):
            interval = "-"
        elif stderr == 0:
            interval = ""
        else:
            interval = f"[{low:.4g}, {high:.4g}]"
        rows.append([name, *shown, interval, "AT BOUND" if name in fit.at_bound else ""])
    return rows
