"""Sphinx configuration; it also writes the parts of the pages that repeat what the code says."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import law_pages

import scaling_laws as sl
from scaling_laws import quantities
from scaling_laws.laws.parametrizations import PARAMETRIZATIONS

project = "scaling_laws"
author = "The scaling_laws developers"
copyright = author
version = release = sl.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
default_role = "code"  # single backticks in docstrings
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings give the types
napoleon_use_ivar = True
add_module_names = False
html_theme = "alabaster"
html_theme_options = {
    "description": "Fit scaling laws, predict with intervals that hold, plan what to train next.",
    "fixed_sidebar": True,
    "page_width": "1100px",
}

GROUPS = {
    "Fit and predict": ("scaling_laws.fitting", "scaling_laws.solving", "scaling_laws.inference"),
    "Plan": ("scaling_laws.planning", "scaling_laws.quantities"),
    "Measure": ("scaling_laws.measurement",),
    "Close the loop": ("scaling_laws.loop",),
    "Data": ("scaling_laws.data",),
    "Laws": ("scaling_laws.laws", "scaling_laws.testing"),
    "Show": ("scaling_laws.plot", "scaling_laws.reporting"),
    "Errors and notes": ("scaling_laws.errors",),
}


def parametrization_table() -> str:
    """One row a parametrization: the paper's form and coefficients, and the law it is."""
    rows = ["| name | law | as written | coefficients | source |", "|---|---|---|---|---|"]
    rows += [
        f"| `{p.name}` | `{p.law}` | ${p.formula}$ | "
        f"{', '.join(f'`{n}`' for n in p.coefficients)} | {p.reference} |"
        for p in PARAMETRIZATIONS
    ]
    return "\n".join(rows)


def published_table() -> str:
    """One row a published law: constants, source, what is counted, where and how it was read."""
    table = sl.published.list()
    names = "`" + table.name + "`"
    shown = [names, table.coefficients, table.reference, table.convention, table.validity]
    rows = [
        "| name | constants | source | what is counted | range | read |",
        "|---|---|---|---|---|---|",
    ]
    for cells in zip(*shown, table.evidence, strict=True):
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def quantity_table() -> str:
    """One row a canonical quantity: name, symbol, meaning, unit and values allowed."""
    allowed = {"positive": "> 0", "fraction": "0 to 1", "real": "any finite"}
    rows = ["| name | symbol | meaning | unit | values | better |", "|---|---|---|---|---|---|"]
    for kind, names in (("", quantities.INPUT_NAMES), ("t", quantities.TARGET_NAMES)):
        for name in names:
            q = quantities.quantity(name)
            symbol = f"${q.symbol}$" if q.symbol else ""
            better = q.direction if kind else ""
            unit = "" if q.unit == q.meaning else q.unit
            rows.append(
                f"| `{name}` | {symbol} | {q.meaning} | {unit} | {allowed[q.domain]} | {better} |"
            )
    return "\n".join(rows)


def api_reference() -> str:
    """Directives for every public name, grouped by what it is for."""
    parts = []
    for title, rooms in GROUPS.items():
        names = [n for n in sl.__all__ if sl._HOME[n].startswith(rooms)]
        directives = "\n".join(_directive(n) for n in names)
        parts.append(f"## {title}\n\n```{{eval-rst}}\n{directives}```\n")
    return "\n".join(parts)


def _directive(name: str) -> str:
    value = getattr(sl, name)
    if inspect.ismodule(value):
        members = "   :members: list, get\n" if name == "published" else "   :members:\n"
        imported = sl._HOME[name]
        return f".. automodule:: {imported}\n{members}\n"
    kind = "class" if inspect.isclass(value) else "function"
    members = "   :members:\n" if kind == "class" and not issubclass(value, Exception) else ""
    return f".. auto{kind}:: scaling_laws.{name}\n{members}\n"


GENERATED = {
    "<!-- generated: laws -->": law_pages.index,
    "<!-- generated: relations -->": law_pages.relations,
    "<!-- generated: parametrizations -->": parametrization_table,
    "<!-- generated: published -->": published_table,
    "<!-- generated: quantities -->": quantity_table,
    "<!-- generated: api -->": api_reference,
}


LINKED = ("which_law_when",)  # pages where a law's name leads to its page


def _write_law_pages(app):
    law_pages.write(Path(app.srcdir) / "laws")


def _fill(_app, docname, source):
    for marker, write in GENERATED.items():
        if marker in source[0]:
            source[0] = source[0].replace(marker, write())
    if docname in LINKED:
        source[0] = law_pages.linked(source[0], "laws/")


def _plain_references(_app, _what, _name, _obj, _options, lines):
    """Show ``[1]_`` as plain text: many docstrings share a page, and each counts from one."""
    for i, line in enumerate(lines):
        lines[i] = re.sub(
            r"^(\s*)\.\. \[(\d+)\]", r"\1| [\2]", re.sub(r"\[(\d+)\]_", r"[\1]", line)
        )


def setup(app):
    app.connect("builder-inited", _write_law_pages)
    app.connect("source-read", _fill)
    app.connect("autodoc-process-docstring", _plain_references)
    return {"parallel_read_safe": True}
