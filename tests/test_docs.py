"""The documentation runs: every Python block of every page, in order; and no page is lost."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import cloudpickle
import pytest

from scaling_laws import quantities
from scaling_laws.laws import registry
from scaling_laws.laws.registry import list_laws

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
WITH_CODE = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]
BLOCK = re.compile(r"^```python(?P<info>[^\n]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


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


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "docs/add_a_law.md"])
def test_the_pages_that_teach_have_code(name):
    assert code_blocks(ROOT / name)


def test_adding_a_law_takes_fewer_than_15_lines():
    _, code = code_blocks(DOCS / "add_a_law.md")[0]
    assert "check_law" in code
    assert "register" in code
    assert "sl.fit(" in code
    assert sum(bool(line.strip()) for line in code.splitlines()) < 15


def test_the_index_lists_every_page():
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    tree = re.search(r"```\{toctree\}\n(.*?)```", index, re.DOTALL)
    listed = {w for w in tree[1].split("\n") if w and not w.startswith(":")}
    assert listed == {p.stem for p in PAGES} - {"index"}


def test_links_between_pages_lead_somewhere():
    for page in [*WITH_CODE, ROOT / "CHANGELOG.md"]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


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


def test_every_marker_of_a_generated_part_is_used_once(conf):
    text = "\n".join(p.read_text(encoding="utf-8") for p in PAGES)
    assert {m: text.count(m) for m in conf.GENERATED} == dict.fromkeys(conf.GENERATED, 1)


def test_the_readme_gives_the_command_that_runs_the_tests():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"<!-- command: test -->\s*```\w*\n(.+?)```", text, re.DOTALL)
    assert block, "README.md needs a fenced block after <!-- command: test -->"
    assert "-m pytest" in block[1]
