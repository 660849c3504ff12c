"""The pages of laws: each has its notes, what they say of other laws holds, and all write."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import law_figures
import law_pages
import numpy as np
import pytest
from simulate import _SPAN

import scaling_laws as sl
from scaling_laws.laws.registry import get_law, list_laws

DOCS = Path(__file__).resolve().parents[1] / "docs"
NOTES = law_pages.notes()
REDUCTIONS = law_pages.reductions()
BUILT_IN = [n for n in list_laws() if get_law(n).function.__module__.startswith("scaling_laws.")]
FUNCTIONS = {"log": np.log, "log10": np.log10, "exp": np.exp}
WORDS = {"ln", "residual", "x"}  # in code spans of the notes, beside names


def test_every_law_has_notes_and_no_notes_are_left_over():
    assert sorted(NOTES) == sorted(BUILT_IN)


@pytest.mark.parametrize("name", sorted(NOTES))
def test_notes_say_when_how_it_fails_and_its_limits(name):
    note = NOTES[name]
    assert set(note) - {"plot"} == {"subject", "use", "fails", "limits"}
    assert all(text.strip().endswith(".") for key, text in note.items() if key in KEYS)
    assert set(note.get("plot", ())) <= set(get_law(name).inputs)


KEYS = ("use", "fails", "limits")


@pytest.mark.parametrize("name", sorted(NOTES))
def test_names_in_notes_exist(name):
    """In code spans: laws, coefficients of this law or of those named with it, inputs."""
    spans = [s for key in KEYS for s in re.findall(r"`([^`]+)`", NOTES[name][key])]
    words = {w for s in spans for w in re.findall(r"[A-Za-z_]\w*", s)}
    laws = {name} | (words & set(NOTES))
    known = laws.union(*(get_law(n).coefficient_names for n in laws), get_law(name).inputs)
    assert words - known - WORDS == set()


# --- one law inside another ----------------------------------------------------------------------


def sides(row):
    """Both laws on the same points: the larger with its conditions, again without, the smaller."""
    law, part = get_law(row["law"]), get_law(row["contains"])
    if "over" in row:
        law, part = (f.bind(row["over"]) if f.build else f for f in (law, part))
    coef = {**part.example, **row.get("of", {})}
    inputs = points(part, law.inputs if len(part.inputs) == 1 else part.inputs)
    known = {**FUNCTIONS, **coef, **inputs, "x": inputs[part.inputs[0]]}

    def term(given):
        return eval(given, {"__builtins__": {}}, known) if isinstance(given, str) else given

    same = dict(inputs) if len(part.inputs) > 1 else dict.fromkeys(law.inputs, known["x"])
    here = {n: term(v) for n, v in row.get("inputs", {}).items()}
    held = same | coef | here | {n: term(v) for n, v in row["coef"].items()}
    usual = {n: np.sqrt(np.prod(_SPAN[n])) for n in law.inputs if n in _SPAN} | law.example
    free = held | {n: usual[n] for n, v in conditions(row).items() if not isinstance(v, str)}
    return value(law, held), value(law, free), value(part, coef | inputs)


def conditions(row):
    return {**row.get("inputs", {}), **row["coef"]}


def value(family, values):
    """A law at inputs and coefficients given together by name."""
    arguments, coef = (
        [values[n] for n in names] for names in (family.inputs, family.coefficient_names)
    )
    return family.evaluate(arguments, coef)


def points(family, like, count=40):
    """Inputs of a law, each of the size that the one of ``like`` usually has."""
    rng = np.random.default_rng(0)
    if "web" in family.inputs:
        return dict(zip(family.inputs, rng.dirichlet(np.ones(3), count).T, strict=True))
    spans = [np.log(_SPAN[n]) for n, _ in zip(like, family.inputs, strict=False)]
    return {n: np.exp(rng.uniform(*s, count)) for n, s in zip(family.inputs, spans, strict=True)}


def name_of(row):
    return f"{row['law']} > {row['contains']}"


@pytest.mark.parametrize("row", REDUCTIONS, ids=name_of)
def test_one_law_is_inside_another_where_the_table_says_so(row):
    held, free, part = sides(row)
    part = np.broadcast_to(part, np.shape(held))
    tolerance = row.get("limit", 1e-9)
    np.testing.assert_allclose(held, part, rtol=tolerance)
    if not all(isinstance(v, str) for v in conditions(row).values()):
        assert np.abs(free / part - 1).max() > 100 * tolerance  # without its condition it is not


def test_the_table_names_each_pair_once_and_only_names_that_exist():
    assert {k for k, n in Counter(map(name_of, REDUCTIONS)).items() if n > 1} == set()
    for row in REDUCTIONS:
        law, part = get_law(row["law"]), get_law(row["contains"])
        if "over" in row and law.build:
            law = law.bind(row["over"])
        assert set(row["coef"]) <= set(law.coefficient_names), name_of(row)
        assert set(row.get("inputs", {})) <= set(law.inputs), name_of(row)
        assert set(row.get("of", {})) <= set(part.coefficient_names), name_of(row)


def test_no_law_is_inside_itself_by_way_of_others():
    inside = {}
    for row in REDUCTIONS:
        inside.setdefault(row["law"], set()).add(row["contains"])

    def all_inside(name):
        return set().union(*({n} | all_inside(n) for n in inside.get(name, ())))

    assert [n for n in inside if n in all_inside(n)] == []


# --- the pages -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_page_says_everything_its_law_declares(name):
    law, text = get_law(name), law_pages.page(name)
    assert text.startswith(f"# {name}\n")
    said = [law.formula, law.reference, *law.aliases, *law.inputs, *law.coefficient_names]
    said += [c.meaning for c in law.coefficients]
    assert [s for s in said if s not in text] == []
    rows = [line for line in text.splitlines() if line.startswith("|")]
    heads = [i for i, line in enumerate(rows) if set(line) <= {"|", "-"}]
    for start, end in zip(heads, [*[h - 1 for h in heads[1:]], len(rows)], strict=True):
        columns = len(rows[start].split("|"))
        assert all(len(cells(row)) == columns for row in rows[start - 1 : end]), rows[start - 1]
    assert set(re.findall(r"\]\((\w+)\.md\)", text)) <= set(NOTES) - {name}


def cells(row):
    """A row at its bars, those inside formulas apart."""
    return re.sub(r"\$[^$]*\$", "", row).split("|")


def test_the_page_of_a_law_has_its_published_constants_and_its_relations():
    text = law_pages.page("chinchilla")
    assert "`HOFFMANN_2022`" in text
    assert "E = 1.69, A = 406.4, alpha = 0.34, B = 410.7, beta = 0.28" in text
    assert "[`coupled`](coupled.md) (`k` = 1)" in text
    assert "[`chinchilla_tied`](chinchilla_tied.md) (`beta` = `alpha`)" in text
    assert "$\\alpha" in law_pages.page("stretched_exponential")  # as Domhan et al. write it


def test_the_index_and_the_relations_link_to_pages():
    for text in (law_pages.index(), law_pages.relations()):
        linked = re.findall(r"\]\(laws/(\w+)\.md\)", text)
        assert linked
        assert set(linked) <= set(NOTES)
    assert "laws/*" in law_pages.index()


def test_which_law_when_names_every_law():
    text = (DOCS / "which_law_when.md").read_text(encoding="utf-8")
    assert [n for n in BUILT_IN if f"`{n}`" not in text] == []


def test_names_are_linked_outside_code_alone():
    text = "`power` and `alpha`\n\n```python\nsl.fit(runs, `power`)\n```\n`power`, `hill`\n"
    assert law_pages.linked(text, "laws/", own="hill") == (
        "[`power`](laws/power.md) and `alpha`\n\n```python\nsl.fit(runs, `power`)\n```\n"
        "[`power`](laws/power.md), `hill`\n"
    )


@pytest.mark.parametrize("name", ["broken_power", "learning_rate_batch", "mixture_own"])
def test_figures_show_the_law(name):
    law, (axes,) = sl.get_law(name), law_figures.figure(name).axes
    x, y = axes.lines[0].get_data()
    if len(law.inputs) == 1:
        np.testing.assert_array_equal(y, law.with_coef(law.example)(**{law.inputs[0]: x}))
    assert len(axes.lines) == (1 if len(law.inputs) == 1 else 3)


def test_a_figure_is_the_same_every_time():
    image = law_figures.png("power")
    assert image.startswith(b"\x89PNG")
    assert image == law_figures.png("power")


def test_writing_leaves_what_is_right_and_drops_what_is_no_law(tmp_path, monkeypatch):
    monkeypatch.setattr(law_pages, "notes", lambda: {"power": NOTES["power"]})
    (tmp_path / "laws").mkdir()
    (tmp_path / "laws" / "gone.md").write_text("# gone\n")
    law_pages.write(tmp_path / "laws")
    assert {p.name for p in (tmp_path / "laws").iterdir()} == {"power.md", "power.png"}
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "laws").iterdir()}
    law_pages.write(tmp_path / "laws")
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "laws").iterdir()} == before
