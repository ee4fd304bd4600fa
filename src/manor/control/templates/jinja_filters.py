"""The filters of templates: the reference's own, and those of Jinja2 that only look at what they get.

Filters that could make a value larger than its parts check the size before they make it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from jinja2 import Environment, pass_environment
from jinja2.filters import FILTERS, make_attrgetter
from jinja2.runtime import Undefined

from manor.control.templates import tenant_names
from manor.control.templates.jinja_bounds import bounded, check_length, listed, pay
from manor.control.templates.opaque import LEDGER, as_data, as_text
from manor.control.templates.tenant_names import TenantFacts
from manor.control.templates.tenant_view import TenantView
from manor.errors import InputError

MAX_PLACES = 100
_KEPT = "abs count d default first last length"
"""As they are: what they do takes no longer for a larger value, and its result is the value or a number."""
_ON_LISTS = "dictsort groupby items list map max min reject rejectattr reverse select selectattr sort unique"
"""Those that go through a list; it is paid for."""
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
        "float": number,
        "int": lambda value, default=0, base=10: bounded(FILTERS["int"](value, default, base)),
        "round": rounded,
        "sum": total,
        "tojson": lambda value: as_data(pay(value)),
        "_made": bounded,
        "_joined": lambda parts: join(parts),
        "_turns": turns,
    }
    of_text = {name: _on_text(FILTERS[name]) for name in _ON_TEXT.split()}
    on_lists = {name: _on_lists(FILTERS[name]) for name in _ON_LISTS.split()}
    return {**{name: FILTERS[name] for name in _KEPT.split()}, **of_text, **on_lists, **own}


def _on_text(function: Callable[..., str]) -> Callable[..., str]:
    return lambda value, *arguments, **options: function(_text(value), *arguments, **options)


def _on_lists(function: Callable[..., Any]) -> Callable[..., Any]:
    """Jinja2's filter, which may want its context or environment before the value."""
    position = 1 if hasattr(function, "jinja_pass_arg") else 0

    @functools.wraps(function)
    def paid(*arguments: Any, **options: Any) -> Any:
        given = list(arguments)
        given[position] = listed(given[position])
        return listed(function(*given, **options))

    return paid


def _tenant_prefix(tenant: Any) -> str:
    return tenant_names.tenant_prefix(tenant.tenant if type(tenant) is TenantView else _tenant(tenant, "tenant_prefix"))


def _tenant(value: Any, name: str) -> TenantFacts:
    if isinstance(value, TenantView):
        return value.tenant
    raise InputError(f"the filter {name} works on a tenant", hint=f"write {{{{ tenant | {name} }}}}")


def _text(value: Any) -> str:
    if isinstance(value, Undefined):
        return str(value)  # raises, and says what is undefined
    text: str = pay(as_text(as_data(value)))
    return text


def join(parts: Iterable[Any], separator: Any = "", attribute: str | None = None) -> str:
    """The texts of ``parts``, one behind the other."""
    if attribute is not None:
        raise InputError("join has no attribute here", hint="write | map(attribute='…') | join")
    texts, between = [_text(part) for part in parts], _text(separator)
    check_length(sum(map(len, texts)) + len(between) * len(texts))
    return between.join(texts)


def replace(text: Any, old: Any, new: Any, count: int = -1) -> str:
    """``text`` with every ``old`` exchanged for ``new``."""
    found, old, new = _text(text), _text(old), _text(new)
    check_length(len(found) + found.count(old) * max(len(new) - len(old), 0))
    return found.replace(old, new, count)


def number(value: Any, default: float = 0.0) -> Any:
    """``value`` as a number with a fraction, ``default`` where it is none."""
    return bounded(FILTERS["float"](value, default))


def rounded(value: Any, precision: int = 0, method: str = "common") -> Any:
    """``value`` to so many places behind the point."""
    if abs(precision) > MAX_PLACES:
        raise InputError(f"round has {MAX_PLACES} places at most, found {precision}")
    return bounded(FILTERS["round"](value, precision, method))


@pass_environment
def total(environment: Environment, values: Any, attribute: Any = None, start: Any = 0) -> Any:
    """The sum of numbers, or of the numbers that ``attribute`` names."""
    items = listed(values)
    found = [start, *(items if attribute is None else map(make_attrgetter(environment, attribute), items))]
    for one in found:
        if not isinstance(one, (int, float, Decimal)):
            raise InputError(f"sum works on numbers, found {type(one).__name__}", hint="join texts with join")
    return bounded(sum(found))


def turns(value: Any) -> list[Any]:
    """What a loop goes through, paid for from the steps of the rendering."""
    items = list(value)
    LEDGER.get().spend(len(items))
    return items
