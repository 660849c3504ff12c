"""The page of each registered law, and the tables that lead to them, written at build time."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

import scaling_laws as sl
from scaling_laws.laws.parametrizations import PARAMETRIZATIONS
from scaling_laws.quantities import quantity

HERE = Path(__file__).parent
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CODE_SPAN = re.compile(r"(?<!\[)`(\w+)`")
ALLOWED = {"positive": "> 0", "fraction": "0 to 1", "real": "any finite"}


@cache
def notes() -> dict[str, dict]:
    """What is known of each law besides its declaration, by name."""
    with (HERE / "law_notes.toml").open("rb") as file:
        return tomllib.load(file)


@cache
def reductions() -> list[dict]:
    """Which law contains which, one mapping each."""
    with (HERE / "law_reductions.toml").open("rb") as file:
        return tomllib.load(file)["reductions"]


def by_subject() -> dict[str, list[str]]:
    """Names of the laws by subject, in the order of the notes."""
    found: dict[str, list[str]] = {}
    for name, note in notes().items():
        found.setdefault(note["subject"], []).append(name)
    return found


def linked(text: str, folder: str = "", own: str = "") -> str:
    """Turn names of laws in backticks into links to their pages, outside fenced code.

    ``folder`` leads from the page to the laws; ``own`` is a name to leave as it is.
    """

    def link(found: re.Match[str]) -> str:
        name = found[1]
        known = name in notes() and name != own
        return f"[`{name}`]({folder}{name}.md)" if known else found[0]

    parts, last = [], 0
    for fence in FENCE.finditer(text):
        parts += [CODE_SPAN.sub(link, text[last : fence.start()]), fence[0]]
        last = fence.end()
    return "".join([*parts, CODE_SPAN.sub(link, text[last:])])


# --- one page ------------------------------------------------------------------------------------


def page(name: str) -> str:
    """Return the page of one law, as Markdown beside its figure ``name.png``."""
    law, note = sl.get_law(name), notes()[name]
    names = ", ".join(f"`{a}`" for a in law.aliases)
    sections = [
        f"# {name}",
        f"$$\n{law.formula}\n$$",
        f"{note['subject']}. Source: {law.reference}." + (f" Aliases: {names}." if names else ""),
        f"![{name} at its example coefficients]({name}.png)\n\n{_caption(name)}",
        f"**When to use it.** {_said(name, 'use')}",
        f"**How it fails.** {_said(name, 'fails')}",
        f"**Limits.** {_said(name, 'limits')}",
        f"## Inputs\n\n{_inputs(law)}",
        f"## Coefficients\n\n{_coefficients(law)}",
        *_parametrizations(name),
        *_published(name),
        f"## Related laws\n\n{_related(name)}",
    ]
    return "\n\n".join(sections) + "\n"


def _said(name: str, key: str) -> str:
    return linked(" ".join(notes()[name][key].split()), own=name)


def _table(*rows: tuple[str, ...]) -> str:
    """A Markdown table of a header and rows."""
    header, *body = (f"| {' | '.join(cells)} |" for cells in rows)
    return "\n".join([header, "|" + "---|" * len(rows[0]), *body])


def _inputs(law: sl.LawFamily) -> str:
    rows = []
    for name in law.inputs:
        q = quantity(name)
        domain = q.domain if law.input_domain == "real" else law.input_domain
        meaning = "" if q.meaning == name else q.meaning
        symbol = f"${q.symbol}$" if q.symbol else ""
        rows.append((f"`{name}`", symbol, meaning, q.unit, ALLOWED[domain]))
    table = _table(("input", "symbol", "meaning", "unit", "values"), *rows)
    if law.build is None:
        return f"{table}\n\nThese are defaults; `inputs=` binds the law to other names."
    return f"{table}\n\nThese are an example: `inputs=` takes any number of any names."


def _coefficients(law: sl.LawFamily) -> str:
    """One row a coefficient. Linear ones are solved for, the others searched."""
    solved = {"target": "solved", "log": "solved in logarithms", None: "searched"}
    rows = [
        (
            f"`{c.name}`",
            c.meaning,
            c.role,
            f"{_number(c.lower)} to {_number(c.upper)}",
            solved[c.linear],
            _number(law.example[c.name]),
        )
        for c in law.coefficients
    ]
    return _table(("name", "meaning", "role", "bounds", "found", "example"), *rows)


def _number(value: float) -> str:
    return {float("inf"): "∞", -float("inf"): "-∞"}.get(value, f"{value:.4g}")


def _parametrizations(name: str) -> list[str]:
    found = [p for p in PARAMETRIZATIONS if p.law == name]
    rows = [
        (f"`{p.name}`", f"${p.formula}$", ", ".join(f"`{c}`" for c in p.coefficients), p.reference)
        for p in found
    ]
    head = ("name", "as written", "coefficients", "source")
    return [f"## In other coefficients\n\n{_table(head, *rows)}"] if found else []


def _published(name: str) -> list[str]:
    table = sl.published.list()
    table = table[table.family == name]
    rows = [
        (f"`{row.name_}`", row.coefficients, row.predicts, row.reference, row.convention)
        for row in table.rename(columns={"name": "name_"}).itertuples()
    ]
    head = ("name", "constants", "predicts", "source", "what is counted")
    if not rows:
        return []
    about = (
        "In `sl.published`; the [table of all](../laws.md#published-constants) has their ranges."
    )
    return [f"## Published constants\n\n{about}\n\n{_table(head, *rows)}"]


def _related(name: str) -> str:
    """Laws it contains, laws that contain it, and the others of its subject."""
    inside = [(r["contains"], r["when"]) for r in reductions() if r["law"] == name]
    around = [(r["law"], r["when"]) for r in reductions() if r["contains"] == name]
    lines = [f"- Contains {_with_conditions(inside)}."] if inside else []
    lines += [f"- Contained in {_with_conditions(around)}."] if around else []
    subject = notes()[name]["subject"]
    others = ", ".join(f"`{n}`" for n in by_subject()[subject] if n != name)
    lines.append(f"- {subject}: {others}.")
    return linked("\n".join(lines), own=name) + "\n- [All laws](../laws.md)"


def _with_conditions(pairs: list[tuple[str, str]]) -> str:
    return ", ".join(f"`{law}` ({when})" for law, when in pairs)


def _caption(name: str) -> str:
    return (
        "At the example coefficients of the table below."
        if len(sl.get_law(name).inputs) < 3
        else "At the example coefficients of the table below, other inputs at the middle of their "
        "usual range."
    )


# --- the index -----------------------------------------------------------------------------------


def index() -> str:
    """One table a subject: each law with its formula and use, linked to its page."""
    parts = []
    for subject, names in by_subject().items():
        rows = [
            (f"[`{n}`](laws/{n}.md)", f"${sl.get_law(n).formula}$", _first_sentence(n))
            for n in names
        ]
        parts.append(f"## {subject}\n\n{_table(('law', 'formula', 'for'), *rows)}")
    toctree = "```{toctree}\n:hidden:\n:glob:\n\nlaws/*\n```"
    return "\n\n".join([*parts, toctree])


def _first_sentence(name: str) -> str:
    text = " ".join(notes()[name]["use"].split())
    return linked(text.split(". ")[0].rstrip("."), "laws/", own=name)


def relations() -> str:
    """One row a contained law: the laws that contain it, each with its condition."""
    contained: dict[str, list[tuple[str, str]]] = {}
    for r in reductions():
        contained.setdefault(r["contains"], []).append((r["law"], r["when"]))
    rows = [
        (f"`{name}`", _with_conditions(contained[name])) for name in notes() if name in contained
    ]
    return linked(_table(("law", "is inside"), *rows), "laws/")


# --- files ---------------------------------------------------------------------------------------


def write(folder: Path) -> None:
    """Write every page and figure into a folder; leave files that are right, drop others."""
    from law_figures import png

    folder.mkdir(exist_ok=True)
    wanted = {folder / f"{name}.md": page(name).encode() for name in notes()}
    wanted |= {folder / f"{name}.png": png(name) for name in notes()}
    for path in set(folder.iterdir()) - set(wanted):
        path.unlink()
    for path, content in wanted.items():
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)
