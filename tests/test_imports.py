"""What imports what: lazy at the surface, layered inside; and the public names are complete."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import scaling_laws as sl

PACKAGE = Path(sl.__file__).parent
LAYERS = (
    "errors",
    "quantities",
    "laws",
    "data",
    "solving",
    "inference",
    "fitting",
    "planning",
    "loop",
    "reporting",
    "command_line",
    "__main__",
)
MEASUREMENT_MAY_IMPORT = {"errors", "quantities", "data", "measurement"}
MODULES = {".".join(p.relative_to(PACKAGE).with_suffix("").parts): p for p in PACKAGE.rglob("*.py")}
CHECKED = sorted(m for m in MODULES if m != "__init__")


def modules_after(code: str) -> set[str]:
    """Top-level modules that ``code`` adds to those of a bare interpreter."""
    program = (
        "import sys, json; before = set(sys.modules)\n"
        f"{code}\n"
        "print(json.dumps(sorted({m.partition('.')[0] for m in set(sys.modules) - before})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(json.loads(done.stdout))


def third_party(modules: set[str]) -> set[str]:
    return modules - set(sys.stdlib_module_names) - {"scaling_laws"}


def imports(path: Path, *, types_too: bool = True) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything a module imports, inside functions too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in for_types and not types_too:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno}: relative import"
            for alias in node.names:
                at_root = node.module == "scaling_laws"
                home = sl._HOME.get(alias.name, f"scaling_laws.{alias.name}")
                yield node.lineno, home if at_root else f"{node.module}.{alias.name}"


def room(dotted: str) -> str | None:
    """Layer of a dotted name of this package, None for other packages."""
    parts = dotted.split(".")
    return parts[1] if parts[0] == "scaling_laws" and len(parts) > 1 else None


# --- lazy at the surface -----------------------------------------------------------------------


def test_importing_the_package_loads_the_standard_library_only():
    loaded = modules_after("import scaling_laws")
    assert "scaling_laws" in loaded
    assert third_party(loaded) == set()


@pytest.mark.parametrize(
    "code",
    [
        "sl.published.HOFFMANN_2022(params=7e10, tokens=1.4e12)",
        "sl.Planner(sl.published.HOFFMANN_2022).for_budget(flops=5.76e23)",
        "sl.training_flops(7e10, 1.4e12)",
        "sl.get_law('saturating')",
    ],
)
def test_a_published_law_and_its_plan_load_numpy_only(code):
    loaded = third_party(modules_after(f"import scaling_laws as sl; {code}"))
    by_numpy = {n for n in loaded if "cython" in n}  # what old versions of it bring along
    assert loaded - by_numpy == {"numpy"}


# --- layered inside ----------------------------------------------------------------------------


@pytest.mark.parametrize("module", CHECKED)
def test_modules_import_only_from_layers_before_them(module):
    own = module.split(".")[0]
    allowed: set[str] | None = None
    if own in LAYERS:
        allowed = set(LAYERS[: LAYERS.index(own) + 1]) | {"__version__"}
        allowed |= {"plot"} if own == "reporting" else set()
        allowed |= {"measurement"} if LAYERS.index(own) >= LAYERS.index("loop") else set()
    elif own == "measurement":
        allowed = MEASUREMENT_MAY_IMPORT | {"__version__"}
    elif own == "plot":
        allowed = {*LAYERS, "measurement", "plot"} - {"reporting", "command_line", "__main__"}
    else:
        assert own == "testing", f"'{own}' has no place in the order of imports; give it one"
    for line, name in imports(MODULES[module]):
        found = room(name)
        assert name != "scaling_laws" or own == "command_line", (
            f"{module}, line {line}: import from the module that holds the name"
        )
        assert found is None or allowed is None or found in allowed, (
            f"{module}, line {line}: '{own}' must not import '{name}'; it may import "
            f"{sorted(allowed)}"
        )


@pytest.mark.parametrize("module", CHECKED)
def test_heavy_packages_have_one_importer(module):
    own = module.split(".")[0]
    for line, name in imports(MODULES[module], types_too=False):
        top = name.split(".")[0]
        assert top != "matplotlib" or own == "plot", f"{module}, line {line}: only plot draws"
        assert top != "lmfit" or module == "solving.point", (
            f"{module}, line {line}: only solving.point imports lmfit"
        )
        assert top not in {"torch", "jax", "tensorflow"}, f"{module}, line {line}: imports {top}"


def test_the_order_is_enforced_inside_functions_too(tmp_path):
    module = tmp_path / "module.py"
    module.write_text(
        "def f():\n    from scaling_laws import fit\n    import scaling_laws.plot\n",
        encoding="utf-8",
    )
    assert [room(name) for _, name in imports(module)] == ["fitting", "plot"]


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_module_is_over_600_lines(module):
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= 600


# --- the public names --------------------------------------------------------------------------

NO_EXAMPLE_NEEDED = {
    # modules; and exceptions, which only say what kind of thing went wrong
    "published", "plot", "testing",
    "DataError", "FitError", "LawError", "MeasureError", "PlanError",
}  # fmt: skip


@pytest.mark.parametrize("name", sl.__all__)
def test_every_public_name_resolves_and_is_documented(name):
    value = getattr(sl, name)
    text = inspect.getdoc(value)
    assert text, f"{name} has no docstring"
    if name not in NO_EXAMPLE_NEEDED:
        assert "Examples\n--------" in text, f"{name} has no Examples section"


def test_type_checkers_see_the_names_that_run_time_resolves():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    block = next(n for n in tree.body if isinstance(n, ast.If))
    declared = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            module = f"{node.module}.{alias.name}" if alias.name in sl._MODULES else node.module
            declared[alias.name] = module
    assert declared == sl._HOME


def test_public_names_live_where_the_table_says():
    for name, home in sl._HOME.items():
        value = getattr(sl, name)
        assert value is (
            importlib.import_module(home)
            if name in sl._MODULES
            else getattr(importlib.import_module(home), name)
        )


def test_dir_lists_every_public_name():
    assert set(sl.__all__) <= set(dir(sl))


def test_an_unknown_attribute_suggests_the_nearest():
    with pytest.raises(AttributeError, match=r"no attribute 'Planer'\. Did you mean 'Planner'\?"):
        _ = sl.Planer
    with pytest.raises(AttributeError, match="no attribute 'zzzzzz'"):
        _ = sl.zzzzzz
