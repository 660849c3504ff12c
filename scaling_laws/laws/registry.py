"""The registry of laws: find one by name, list them, add one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from threading import RLock
from typing import Any

from scaling_laws.errors import LawError, suggest
from scaling_laws.laws.family import Law, LawFamily

_BUILT_IN = (
    "learning_curves",
    "sigmoids",
    "broken",
    "sampling",
    "joint",
    "repeated_data",
    "data_constrained",
    "experts",
    "architecture",
    "precision",
    "transfer",
    "training",
    "recipe",
    "mixture",
    "downstream",
    "schedules",
    "generic",
)
_families: dict[str, LawFamily] = {}
_aliases: dict[str, str] = {}
_loaded: set[str] = set()
_pending: list[EntryPoint] = []
_lock = RLock()


def register(family: LawFamily, *, replace_existing: bool = False) -> LawFamily:
    """Make a law available by name.

    Parameters
    ----------
    family : LawFamily
        Check it first with `scaling_laws.testing.check_law`.
    replace_existing : bool, default False
        Allow a name that is taken.

    Returns
    -------
    LawFamily
        The family itself.

    Raises
    ------
    LawError
        The name or an alias is taken.

    Examples
    --------
    >>> register(get_law("power"))
    Traceback (most recent call last):
        ...
    scaling_laws.errors.LawError: the law name 'power' is taken. Choose another, or pass \
replace_existing=True.
    """
    _load_built_in()
    _add(family, replace_existing)
    return family


def get_law(law: str | LawFamily, inputs: Sequence[str] | None = None) -> LawFamily:
    """Return a law family by name or alias, optionally bound to other inputs.

    Parameters
    ----------
    law : str or LawFamily
        A family is returned as it is (bound to ``inputs`` if given).
    inputs : sequence of str, optional
        Input names to bind to.

    Raises
    ------
    LawError
        Unknown name; the nearest known one is suggested.

    Examples
    --------
    >>> get_law("saturating").name
    'power_with_floor'
    >>> get_law("power", ("samples",)).inputs
    ('samples',)
    """
    family = law if isinstance(law, LawFamily) else _find(law)
    return family if inputs is None else family.bind(inputs)


def list_laws() -> list[str]:
    """Return the canonical names of all registered laws, sorted.

    Examples
    --------
    >>> "chinchilla" in list_laws()
    True
    """
    _load_built_in()
    return sorted(_families)


def law_from_dict(data: Mapping[str, Any]) -> Law:
    """Restore a `Law` from `Law.to_dict`.

    Raises
    ------
    LawError
        Its family is not registered here.

    Examples
    --------
    >>> from scaling_laws.laws.published import HOFFMANN_2022
    >>> law_from_dict(HOFFMANN_2022.to_dict()) == HOFFMANN_2022
    True
    """
    family = get_law(data["family"]).bind(data["inputs"], increasing=data["increasing"])
    about = {k: data[k] for k in ("name", "reference", "convention")}
    validity = tuple((str(n), float(a), float(b)) for n, a, b in data["validity"])
    return replace(family.with_coef(data["coef"], **about), validity=validity)


def _find(name: str) -> LawFamily:
    if not isinstance(name, str):
        raise LawError(f"a law is named by a string or given as a LawFamily, got {name!r}.")
    _load_built_in()
    if name not in _families and name not in _aliases:
        _load_entry_points()
    canonical = _aliases.get(name, name)
    if canonical not in _families:
        hint = suggest(name, [*_families, *_aliases])
        known = "list_laws() names all." if hint else f"Registered: {', '.join(list_laws())}."
        raise LawError(
            f"unknown law '{name}'.{hint} {known} One of your own has to be registered first: "
            "scaling_laws.register(family)."
        )
    return _families[canonical]


def _add(family: LawFamily, replace_existing: bool) -> None:
    names = (family.name, *family.aliases)
    taken = [n for n in names if n in _families or n in _aliases]
    if taken and not replace_existing:
        raise LawError(
            f"the law name '{taken[0]}' is taken. Choose another, or pass replace_existing=True."
        )
    for name in names:
        _families.pop(name, None)
        _aliases.pop(name, None)
    _families[family.name] = family
    _aliases.update(dict.fromkeys(family.aliases, family.name))


def _load_built_in() -> None:
    with _lock:
        if "built-in" in _loaded:
            return
        for module in _BUILT_IN:
            for family in import_module(f"scaling_laws.laws.{module}").FAMILIES:
                _add(family, replace_existing=False)
        _loaded.add("built-in")


def _load_entry_points() -> None:
    """Add what other packages offer; each is tried once, and a broken one is named."""
    if "entry points" not in _loaded:
        _loaded.add("entry points")
        _pending.extend(entry_points(group="scaling_laws.laws"))
    while _pending:
        entry = _pending.pop(0)
        family = entry.load()
        if not isinstance(family, LawFamily):
            raise LawError(
                f"entry point '{entry.name}' of group scaling_laws.laws gave "
                f"{type(family).__name__}, not a LawFamily. Correct or remove {entry.value}."
            )
        _add(family, replace_existing=False)
