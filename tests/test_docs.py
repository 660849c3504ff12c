"""The documentation runs: every Python block of every page, in order; and no page is lost."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import cloudpickle
import pytest

from scaling_laws import quantities
from scaling_laws.__main__ import main
from scaling_laws.laws import registry
from scaling_laws.laws.registry import list_laws

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
WITH_CODE = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]
BLOCK = re.compile(r"^```python(?P<info>[^\n]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


SHELL = re.compile(r"^```shell(?P<info>[^\n]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


def code_blocks(page: Path) -> list[tuple[int, str]]:
    """First line and text of every Python block of a page that is meant to run."""
    text = page.read_text(encoding="utf-8")
    return [
        (text.count("\n", 0, found.start("code")), found["code"])
        for found in BLOCK.finditer(text)
        if "no-run" not in found["info"]
    ]


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    """A copy of the registry, so that a page's law is gone after the page."""
    list_laws()
    for name in ("_families", "_aliases", "_loaded"):
        monkeypatch.setattr(registry, name, getattr(registry, name).copy())


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda p: p.name)
def test_python_blocks_run_in_order(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = ModuleType(f"page_{page.stem}")  # a real module, so that what it defines pickles
    monkeypatch.setitem(sys.modules, module.__name__, module)
    cloudpickle.register_pickle_by_value(module)  # as the main module of a script would be
    for line, code in code_blocks(page):
        exec(compile("\n" * line + code, str(page), "exec"), module.__dict__)
        if "matplotlib.pyplot" in sys.modules:
            sys.modules["matplotlib.pyplot"].close("all")
    cloudpickle.unregister_pickle_by_value(module)


def test_shell_lines_of_the_command_line_page_run_in_order(tmp_path, monkeypatch, capsys):
    page = DOCS / "command_line.md"
    monkeypatch.chdir(tmp_path)
    for _, code in code_blocks(page):
        exec(code, {})
    ran = 0
    for block in SHELL.finditer(page.read_text(encoding="utf-8")):
        expected = 1 if "exit=1" in block["info"] else 0
        for line in block["code"].splitlines():
            python, *words = shlex.split(line)
            assert [python, *words[:2]] == ["python", "-m", "scaling_laws"]
            assert main(words[2:]) == expected, f"{line}: {capsys.readouterr().err}"
            ran += 1
    assert ran > 5


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "docs/add_a_law.md"])
def test_the_pages_that_teach_have_code(name):
    assert code_blocks(ROOT / name)


def test_adding_a_law_takes_fewer_than_15_lines():
    _, code = code_blocks(DOCS / "add_a_law.md")[0]
    assert "check_law" in code
    assert "register" in code
    assert "sl.fit(" in code
    assert sum(bool(line.strip()) for line in code.splitlines()) < 15


def test_the_index_lists_every_page_once():
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    trees = re.findall(r"```\{toctree\}\n(.*?)```", index, re.DOTALL)
    listed = [w for tree in trees for w in tree.split("\n") if w and not w.startswith(":")]
    assert sorted(listed) == sorted({p.stem for p in PAGES} - {"index"})


def links(page: Path) -> Iterator[tuple[str, str]]:
    """File and anchor of every relative link of a page, code left out."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", text)):
        if not re.match(r"[a-z]+:", target):
            file, _, anchor = target.partition("#")
            yield file, anchor


def anchors(page: Path) -> set[str]:
    """Names that a link into a page may end in: of its headings, as GitHub does, and targets."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    titles = re.findall(r"^#{1,3} (.+)$", text, re.M)
    slugs = [re.sub(r"[^\w\- ]", "", t.strip().lower()).replace(" ", "-") for t in titles]
    return {*slugs, *re.findall(r"^\(([\w-]+)\)=$", text, re.M)}


@pytest.mark.parametrize("page", [*WITH_CODE, ROOT / "CHANGELOG.md"], ids=lambda p: p.name)
def test_every_relative_link_leads_to_a_file_and_a_heading(page):
    for file, anchor in links(page):
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{page.name} links to {file}"
        assert target.is_relative_to(ROOT), f"{page.name} links out of the repository: {file}"
        assert not anchor or anchor in anchors(target), f"{page.name} links to {file}#{anchor}"


def test_a_broken_link_is_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One (1)\n\n[a](#one-1) [b](gone.md#x) `[c](d)` [e](https://e.org)\n")
    assert list(links(page)) == [("", "one-1"), ("gone.md", "x")]
    assert anchors(page) == {"one-1"}


@pytest.fixture(scope="module")
def conf():
    """The documentation's configuration, which writes the generated parts."""
    spec = importlib.util.spec_from_file_location("docs_conf", DOCS / "conf.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_parts_name_every_law_quantity_and_public_name(conf):
    import scaling_laws as sl

    laws = conf.law_pages.index()
    assert [n for n in list_laws() if f"(laws/{n}.md)" not in laws] == []
    table = conf.quantity_table()
    names = (*quantities.INPUT_NAMES, *quantities.TARGET_NAMES)
    assert [n for n in names if f"| `{n}` |" not in table] == []
    reference = conf.api_reference()
    shown = {n: sl._HOME[n] if n in sl._MODULES else f"scaling_laws.{n}" for n in sl.__all__}
    assert [n for n, target in shown.items() if f":: {target}\n" not in reference] == []


def result_columns() -> set[str]:
    """Columns of the tables that results hold, without the decoration of a quantity's name."""
    import scaling_laws as sl

    runs = sl.load_dataset("tiny_lm")[["params", "tokens", "loss"]]
    fit = sl.fit(runs, "chinchilla", draws=20, law_error=False)
    planner = sl.Planner(fit)
    point, goal = {"params": 1e6, "tokens": 1e8}, {"params": 1e7, "tokens": 1e9}
    plan = planner.for_budget(flops=1e14)
    both = sl.compare({"a": fit, "b": fit}, pooling="apart")
    backtest = sl.backtest(runs, "chinchilla", cuts=[5e11])
    found = sl.diagnose(fit)
    tables = [
        fit.predict(**point), fit.uncertainty(**point), fit.summary(), fit.residual_table(),
        fit.profile("alpha", points=3), found.influence, found.residuals,
        sl.select(runs, ["chinchilla"], focuses=(0.0,), draws=20).table,
        backtest.table, backtest.rows, plan.to_frame(), planner.for_target(1.2).to_frame(),
        planner.marginal(**point), planner.trade_off("params", [1e6], flops=1e14),
        planner.regret(plan, flops=1e14), sl.factors(fit, at=point).table,
        both.difference(), both.multiplier(), both.crossing(),
        sl.next_runs(fit, [point], at=goal).table, sl.ladder(fit, at=goal, within=0.1).table,
        sl.published.list(),
        sl.sweep(lambda params: 1.0 + 1 / params, sl.grid(params=[1e6])),
    ]  # fmt: skip
    return {
        re.sub(r"^(given|distance)_|(_near)?_(low|high)$|_more$", "", str(column)).replace(
            "loss_", "<target>_"
        )
        for table in tables
        for column in table.columns
    } - set(fit.coef)


def test_the_glossary_has_every_column_of_a_result():
    page = (DOCS / "glossary.md").read_text(encoding="utf-8")
    known = {*quantities.INPUT_NAMES, *quantities.TARGET_NAMES, "seed"}
    columns = result_columns()
    assert {"stderr", "extrapolation", "p_better", "status"} <= columns
    assert {c for c in columns - known if f"`{c}`" not in page} == set()


def test_every_marker_of_a_generated_part_is_used_once(conf):
    text = "\n".join(p.read_text(encoding="utf-8") for p in PAGES)
    assert {m: text.count(m) for m in conf.GENERATED} == dict.fromkeys(conf.GENERATED, 1)


def test_the_readme_gives_the_command_that_runs_the_tests():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"<!-- command: test -->\s*```\w*\n(.+?)```", text, re.DOTALL)
    assert block, "README.md needs a fenced block after <!-- command: test -->"
    assert "-m pytest" in block[1]
