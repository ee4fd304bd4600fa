"""Filters of ``list_tenants`` and queries of ``search_tenants`` as one thing: a checked search over ``TenantInfo``. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from manor.control.registry.search.constants import Misfit, fit
from manor.control.registry.search.fields import TENANT_INFO, Kind, info_values
from manor.control.registry.search.nodes import Among, And, Compare, Comparison, Constant, IsNull, Leaf, Reference
from manor.control.registry.search.parse import parse_search
from manor.control.registry.search.predicate import Search
from manor.control.registry.tenant_info import TenantInfo
from manor.errors import InputError
from manor.scan import suggest


def search_of_query(query: str, *, where: str = "query") -> Search:
    """``query`` as it is asked of a source. Raises ``InputError`` with its place in the text."""
    return parse_search(query, TENANT_INFO, where=where)


def search_of_filters(filters: Mapping[str, Any] | None) -> Search | None:
    """All of ``filters`` at once: by field the value that it must have, or a list of the values that it may have; None where
    there are none. None as a value means that the tenant has none. Raises ``InputError`` naming the field that cannot be asked.
    """
    leaves = tuple(_leaf(name, wanted) for name, wanted in (filters or {}).items())
    if not leaves:
        return None
    root = leaves[0] if len(leaves) == 1 else And(operands=leaves)
    return Search(text=str(root), root=root, fields=TENANT_INFO)


def lets_through(search: Search | None, info: TenantInfo) -> bool:
    """Whether the tenant is among those that were asked for; all are where ``search`` is None."""
    return search is None or search.matches(info_values(info))


def check_page(offset: int, limit: int) -> None:
    """Raises ``InputError`` for a page that cannot be."""
    for name, value in (("offset", offset), ("limit", limit)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise InputError(f"{name} must be a whole number of at least 0, found {value!r}")


def _leaf(name: str, wanted: Any) -> Leaf:
    known = TENANT_INFO.fields
    if name not in known:
        raise InputError(f"tenants have no field {name!r} to filter by", hint=suggest(name, known))
    if known[name].kind is Kind.JSON:
        raise InputError(f"{name} is JSON, which filters do not look into", hint=f"search for a part of it: {name}.plan = 'x'")
    reference = Reference(name=name)
    if wanted is None:
        return IsNull(reference=reference)
    if isinstance(wanted, list | tuple | set | frozenset):
        return Among(reference=reference, constants=tuple(_constant(name, one) for one in wanted))
    return Compare(reference=reference, comparison=Comparison.EQUAL, constant=_constant(name, wanted))


def _constant(name: str, value: Any) -> Constant:
    kind = TENANT_INFO.fields[name].kind
    if kind is Kind.TIME and isinstance(value, dt.datetime):
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)
    try:
        return fit(Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value, kind, name)
    except Misfit as misfit:
        raise InputError(misfit.message, hint=misfit.hint) from None
