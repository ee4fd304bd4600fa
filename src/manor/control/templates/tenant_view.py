"""A tenant as a template sees it: its fields as plain values, and nothing else of the object that they came from. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from manor.control.templates.tenant_names import FIELDS, TenantFacts


class TenantView:
    """``tenant`` in a template. A template can neither reach the object behind it nor its methods."""

    __slots__ = ("fields", "tenant")

    def __init__(self, tenant: TenantFacts) -> None:
        self.tenant = tenant
        self.fields: dict[str, Any] = {name: plain_value(getattr(tenant, name)) for name in FIELDS}


def plain_value(value: Any) -> Any:
    """Plain lists and mappings for whatever a source gave, so that no other type gets into a template."""
    if value is None or type(value) in (str, int, bool, float, Decimal, dt.datetime, dt.date):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain_value(item) for item in value]
    return str(value)
