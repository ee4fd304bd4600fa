"""The filters of templates: the reference's own, and those of Jinja2 that only look at what they get.

Filters that could make a value larger than its parts check the size before they make it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jinja2.filters import FILTERS
from jinja2.runtime import Undefined

from manor.control.templates import tenant_names
from manor.control.templates.opaque import LEDGER, as_data, as_text
from manor.control.templates.tenant_names import TenantFacts
from manor.control.templates.tenant_view import TenantView
from manor.errors import InputError

MAX_CHARACTERS = 1_000_000
"""Length of one value."""
MAX_ITEMS = 100_000
MAX_BITS = 4_096

_KEPT = """
abs count d default dictsort first float groupby int items last length list map max min reject rejectattr reverse round select
selectattr sort sum unique
"""
_ON_TEXT = "capitalize lower string title trim upper"
"""Filters that would make a text of anything; here of data only, so that nothing of Python's gets into one."""


def table() -> dict[str, Callable[..., Any]]:
    """All filters by name."""
    own: Mapping[str, Callable[..., Any]] = {
        "tenant_prefix": _tenant_prefix,
        "db_name": lambda tenant, instance="main": tenant_names.db_name(_tenant(tenant, "db_name"), _text(instance)),
        "schema_name": lambda tenant, schema="main": tenant_names.schema_name(_tenant(tenant, "schema_name"), _text(schema)),
        "table_name": lambda tenant, table: tenant_names.table_name(_tenant(tenant, "table_name"), _text(table)),
        "safe_identifier": lambda text: tenant_names.safe_identifier(_text(text)),
        "join": join,
        "replace": replace,
        "tojson": as_data,
        "_joined": lambda parts: join(parts),
        "_turns": turns,
    }
    of_text = {name: _on_text(FILTERS[name]) for name in _ON_TEXT.split()}
    return {**{name: FILTERS[name] for name in _KEPT.split()}, **of_text, **own}


def _on_text(function: Callable[..., str]) -> Callable[..., str]:
    return lambda value, *arguments, **options: function(_text(value), *arguments, **options)


def _tenant_prefix(tenant: Any) -> str:
    return tenant_names.tenant_prefix(tenant.tenant if type(tenant) is TenantView else _tenant(tenant, "tenant_prefix"))


def _tenant(value: Any, name: str) -> TenantFacts:
    if isinstance(value, TenantView):
        return value.tenant
    raise InputError(f"the filter {name} works on a tenant", hint=f"write {{{{ tenant | {name} }}}}")


def _text(value: Any) -> str:
    if isinstance(value, Undefined):
        return str(value)  # raises, and says what is undefined
    return as_text(as_data(value))


def join(parts: Iterable[Any], separator: Any = "", attribute: str | None = None) -> str:
    """The texts of ``parts``, one behind the other."""
    if attribute is not None:
        raise InputError("join has no attribute here", hint="write | map(attribute='…') | join")
    texts, between = [_text(part) for part in parts], _text(separator)
    _check(sum(map(len, texts)) + len(between) * len(texts))
    return between.join(texts)


def replace(text: Any, old: Any, new: Any, count: int = -1) -> str:
    """``text`` with every ``old`` exchanged for ``new``."""
    found, old, new = _text(text), _text(old), _text(new)
    _check(len(found) + found.count(old) * max(len(new) - len(old), 0))
    return found.replace(old, new, count)


def turns(value: Any) -> list[Any]:
    """What a loop goes through, paid for from the steps of the rendering."""
    items = list(value)
    LEDGER.get().spend(len(items))
    return items


def bounded(value: Any) -> Any:
    """``value`` itself. Raises ``InputError`` where it is too large."""
    if isinstance(value, str):
        _check(len(value))
    elif isinstance(value, (list, tuple)) and len(value) > MAX_ITEMS:
        raise InputError(f"a list of {len(value):,} items, {MAX_ITEMS:,} are allowed")
    elif isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise InputError("the number is too large")
    return value


def _check(characters: int) -> None:
    if characters > MAX_CHARACTERS:
        raise InputError(f"a text of {characters:,} characters, {MAX_CHARACTERS:,} are allowed")
