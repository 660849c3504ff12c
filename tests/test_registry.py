"""Finding, adding and declaring laws, and what is said when that cannot be done."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from scaling_laws.errors import LawError
from scaling_laws.laws import published, registry
from scaling_laws.laws.family import (
    Coefficient,
    LawFamily,
    amplitude,
    exponent,
    floor,
)
from scaling_laws.laws.registry import get_law, law_from_dict, list_laws, register


def _mine(x, A, alpha):
    return A * np.exp(-alpha * np.log(x))


MINE = LawFamily(
    name="mine",
    function=_mine,
    inputs=("samples",),
    coefficients=(amplitude("A"), exponent("alpha")),
    formula="A x^-alpha",
    reference="the tests",
    example={"A": 1.0, "alpha": 0.5},
    aliases=("my_alias",),
)


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    """A copy of the registry, so that no test leaves a law behind."""
    list_laws()
    for name in ("_families", "_aliases", "_loaded"):
        monkeypatch.setattr(registry, name, getattr(registry, name).copy())


class _EntryPoint:
    def __init__(self, name, value):
        self.name, self.value = name, value

    def load(self):
        return self.value


@pytest.fixture
def entry_points(monkeypatch):
    """Replace the installed entry points; returns the list served and the calls made."""
    served, calls = [], []

    def read(*, group):
        calls.append(group)
        return served

    monkeypatch.setattr(registry, "entry_points", read)
    registry._loaded.discard("entry points")
    return served, calls


def test_unknown_law_suggests_the_nearest_or_lists_all(entry_points):
    with pytest.raises(
        LawError, match=r"unknown law 'chinchila'\. Did you mean 'chinchilla'\?"
    ) as e:
        get_law("chinchila")
    assert "list_laws() names all" in str(e.value)
    assert "two_plateau" not in str(e.value)
    with pytest.raises(LawError, match=r"Registered: .*two_plateau.*registered first"):
        get_law("qqqq")


def test_laws_print_as_one_line():
    family = get_law("power_with_floor")
    assert repr(family) == "LawFamily power_with_floor of flops: E, A, alpha"
    law = family.with_coef({"E": 0.1, "A": 2.0, "alpha": 0.5}, name="mine")
    assert repr(law) == "Law power_with_floor of flops (mine): E=0.1, A=2, alpha=0.5"


def test_a_law_is_named_by_a_string():
    with pytest.raises(LawError, match="named by a string or given as a LawFamily, got 3"):
        get_law(3)


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("log", "logarithmic"),
        ("saturating", "power_with_floor"),
        ("pow2", "power"),
        ("pow3", "power_with_floor"),
        ("pow4", "shifted_power"),
        ("exp3", "exponential_with_floor"),
        ("wbl4", "stretched_exponential"),
        ("mmf4", "two_plateau"),
        ("hoffmann", "chinchilla"),
        ("cobb_douglas", "product"),
    ],
)
def test_aliases_resolve(alias, name):
    assert get_law(alias) is get_law(name)
    assert alias not in list_laws()


def test_no_alias_hides_a_name():
    names = list_laws()
    aliases = [a for n in names for a in get_law(n).aliases]
    assert len({*names, *aliases}) == len(names) + len(aliases)


def test_register_and_find_by_name_and_alias():
    assert register(MINE) is MINE
    assert get_law("mine") is MINE
    assert get_law("my_alias") is MINE
    assert "mine" in list_laws()


@pytest.mark.parametrize(
    "taken",
    [{"name": "chinchilla"}, {"name": "pow2"}, {"aliases": ("kaplan",)}, {"aliases": ("log",)}],
)
def test_taken_names_and_aliases_are_refused(taken):
    with pytest.raises(LawError, match=r"is taken\. Choose another, or pass replace_existing=True"):
        register(replace(MINE, **taken))
    assert "mine" not in list_laws()


def test_replace_existing_replaces():
    register(MINE)
    other = replace(MINE, reference="another")
    register(other, replace_existing=True)
    assert get_law("mine") is other


def test_entry_points_are_read_on_the_first_miss_only(entry_points):
    served, calls = entry_points
    served.append(_EntryPoint("mine", MINE))
    get_law("chinchilla")
    list_laws()
    assert calls == []
    assert get_law("mine") is MINE
    with pytest.raises(LawError, match="unknown law"):
        get_law("nothing_of_the_kind")
    assert calls == ["scaling_laws.laws"]


def test_an_entry_point_must_give_a_family(entry_points):
    entry_points[0].append(_EntryPoint("odd", "not a family"))
    with pytest.raises(LawError, match=r"entry point 'odd'.* gave str, not a LawFamily"):
        get_law("mine")


def test_bind_renames_inputs():
    assert get_law("chinchilla", ("width", "samples")).inputs == ("width", "samples")
    assert get_law(MINE, ("steps",)).inputs == ("steps",)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (("params",), "takes 2 inputs .* got 1.*Laws over any inputs: additive_power"),
        (("params", "tokens", "flops"), "takes 2 inputs .* got 3"),
        (("params", "params"), "an input is named twice"),
    ],
)
def test_bind_says_what_is_wrong(inputs, message):
    with pytest.raises(LawError, match=message):
        get_law("chinchilla").bind(inputs)


def test_bound_any_input_law_names_its_coefficients_after_the_inputs():
    family = get_law("additive_power").bind(("width", "depth"))
    assert family.coefficient_names == ("E", "A_width", "alpha_width", "A_depth", "alpha_depth")
    assert set(family.example) == set(family.coefficient_names)
    assert family.bind(("params", "tokens")) == get_law("additive_power")


@pytest.mark.parametrize(
    "law",
    [
        published.HOFFMANN_2022,
        published.KAPLAN_2020,
        get_law("product", ("width", "depth", "tokens")).with_coef(
            {"K": 2.0, "alpha_width": 0.1, "alpha_depth": 0.2, "alpha_tokens": 0.3}
        ),
        get_law("power_with_floor", ("samples",))
        .bind(increasing=True)
        .with_coef({"E": 0.9, "A": 0.5, "alpha": 0.4}),
    ],
    ids=["hoffmann", "kaplan", "bound", "mirrored"],
)
def test_json_round_trip(law):
    text = json.dumps(law.to_dict())
    restored = law_from_dict(json.loads(text))
    assert restored == law
    assert hash(restored) == hash(law)
    assert "lambda" not in text
    assert "function" not in text


def test_a_law_that_is_not_registered_cannot_be_restored():
    law = MINE.with_coef(MINE.example)
    with pytest.raises(LawError, match="unknown law 'mine'"):
        law_from_dict(law.to_dict())


@pytest.mark.parametrize(
    ("coef", "message"),
    [
        ({"A": 1.0, "alfa": 0.5}, "no coefficient 'alfa'. Did you mean 'alpha'?"),
        ({"A": 1.0}, r"needs a value for \['alpha'\]"),
        ({"A": float("nan"), "alpha": 0.5}, "not finite"),
        ({"A": float("inf"), "alpha": 0.5}, "not finite"),
    ],
)
def test_with_coef_says_what_is_wrong(coef, message):
    with pytest.raises(LawError, match=message):
        MINE.with_coef(coef)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": ()}, "has no inputs"),
        ({"coefficients": (amplitude("A"), amplitude("A"))}, "declares a coefficient twice"),
        (
            {"coefficients": (amplitude("A"), exponent("beta"))},
            r"takes coefficients \('A', 'alpha'\) but the declaration lists \('A', 'beta'\)",
        ),
        ({"coefficients": (amplitude("A"),)}, "but the declaration lists"),
        ({"example": {"A": 1.0}}, r"example gives \['A'\] but the coefficients are"),
        ({"example": {"A": -1.0, "alpha": 0.5}}, "example A=-1.0 lies outside its bounds"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(change, message):
    with pytest.raises(LawError, match=message):
        replace(MINE, **change)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lower": 1.0, "upper": 1.0}, "lower bound 1.0 is not below upper bound 1.0"),
        ({"lower": 2.0, "upper": 1.0}, "Swap or widen"),
        ({"lower": 0.0, "starts": (-1.0, 1.0)}, "must increase and lie inside the bounds"),
        ({"starts": (1.0, 1.0)}, "must increase"),
    ],
)
def test_a_coefficient_that_contradicts_itself_is_refused(arguments, message):
    with pytest.raises(LawError, match=message):
        Coefficient("a", "shape", **arguments)


def test_two_floors_are_no_floor():
    def two(x, E, F):
        return E + F + 0 * x

    family = LawFamily("two", two, ("samples",), (floor("E"), floor("F")))
    assert family.floor_index is None
