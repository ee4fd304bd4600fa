"""Tenants made of columns whose values were checked already: what makes a walk over 100,000 of them as fast as reading them.

pydantic checks one tenant in some 3 µs, which is longer than it takes to read its row. Whoever checks whole columns at a time
makes the tenants here, and proves by a test that pydantic would have made the same. The only place that knows how pydantic
keeps a model's values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import compress, repeat
from typing import Any

from pydantic import BaseModel

from manor.control.registry.tenant_info import FIELDS, TenantInfo

DEFAULTS: Mapping[str, Any] = {
    name: field.default for name, field in TenantInfo.model_fields.items() if not field.is_required()
}
"""Values of fields that a source says nothing about."""

_new = object.__new__
_set_values = BaseModel.__dict__["__dict__"].__set__
_set_names, _set_extra, _set_private = (
    BaseModel.__dict__[name].__set__ for name in ("__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
)


def tenants_of(columns: Mapping[str, Iterable[Any]], told: Iterable[set[str]] | None = None) -> list[TenantInfo]:
    """One tenant per row of ``columns``, which are equally long and by field, ``tenant_id`` and ``customer_code`` among them.
    ``told``: by row the fields that its source gave a value (``model_fields_set``); all columns where it is None.

    Nothing is checked: each value must be exactly what ``TenantInfo`` would hold.
    """
    # A display of fifteen constant keys is made in less than half the time that `dict(zip(...))` takes.
    values = [
        {
            "tenant_id": a,
            "customer_code": b,
            "customer_name": c,
            "region": d,
            "tier": e,
            "status": f,
            "created_at": g,
            "updated_at": h,
            "isolation_strategy": i,
            "database_prefix": j,
            "schema_suffix": k,
            "table_prefix": m,
            "instances": n,
            "billing_info": o,
            "contract_info": p,
        }
        for a, b, c, d, e, f, g, h, i, j, k, m, n, o, p in zip(*_in_order(columns), strict=False)  # a default has no end
    ]
    made = list(map(_new, repeat(TenantInfo, len(values))))
    for _ in map(_set_values, made, values):
        pass
    names = repeat(set(columns)) if told is None else told
    for put, each in ((_set_names, names), (_set_extra, repeat(None)), (_set_private, repeat(None))):
        for _ in map(put, made, each):
            pass
    return made


def told_of(names: Iterable[str], gaps: Mapping[str, Sequence[bool]]) -> Iterable[set[str]] | None:
    """By row the fields that its source gave a value: ``names``, but for those of ``gaps`` where it says that there is none.
    None where there is no gap."""
    if not gaps:
        return None
    everything = set(names)
    by_pattern: dict[tuple[bool, ...], set[str]] = {}
    return [
        by_pattern.get(pattern) or by_pattern.setdefault(pattern, everything - set(compress(gaps, pattern)))
        for pattern in zip(*gaps.values(), strict=True)
    ]


def _in_order(columns: Mapping[str, Iterable[Any]]) -> list[Iterable[Any]]:
    return [columns[name] if name in columns else repeat(DEFAULTS[name]) for name in FIELDS]
