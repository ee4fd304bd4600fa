"""What templates may know of a tenant, and the names that are made of it. Pure.

``TenantFacts`` is the reference's ``TenantInfo`` as templates see it; the class itself stands in the registry, above.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from manor.tenancy import POSTGRES_MAX_BYTES, identifier_problem

_UNSAFE = re.compile(r"[^A-Za-z0-9_]+")
_HASH_CHARACTERS = 8


class TenantFacts(Protocol):
    """One tenant as its source tells it: what ``tenant`` is in a template."""

    @property
    def tenant_id(self) -> str: ...
    @property
    def customer_code(self) -> str: ...
    @property
    def customer_name(self) -> str: ...
    @property
    def region(self) -> str: ...
    @property
    def tier(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def created_at(self) -> dt.datetime | None: ...
    @property
    def updated_at(self) -> dt.datetime | None: ...
    @property
    def isolation_strategy(self) -> str: ...
    @property
    def database_prefix(self) -> str | None: ...
    @property
    def schema_suffix(self) -> str | None: ...
    @property
    def table_prefix(self) -> str | None: ...
    @property
    def instances(self) -> Sequence[str]: ...
    @property
    def billing_info(self) -> Mapping[str, Any] | None: ...
    @property
    def contract_info(self) -> Mapping[str, Any] | None: ...


FIELDS: tuple[str, ...] = tuple(name for name, value in vars(TenantFacts).items() if isinstance(value, property))
"""Names of what a template may ask of ``tenant``."""


def tenant_prefix(tenant: TenantFacts) -> str:
    """What the names of its databases begin with: ``database_prefix`` where it has one, else ``<customer_code>_<region>``."""
    return tenant.database_prefix or (f"{tenant.customer_code}_{tenant.region}" if tenant.region else tenant.customer_code)


def db_name(tenant: TenantFacts, instance: str = "main") -> str:
    """Name of the database of one instance."""
    return f"{tenant_prefix(tenant)}_{instance}"


def schema_name(tenant: TenantFacts, schema: str = "main") -> str:
    """Name of a schema: the tenant's ``schema_suffix`` stands behind it."""
    return f"{schema}{tenant.schema_suffix or ''}"


def table_name(tenant: TenantFacts, table: str) -> str:
    """Name of a table: the tenant's ``table_prefix`` stands before it."""
    return f"{tenant.table_prefix or ''}{table}"


def safe_identifier(text: str) -> str:
    """An identifier for any text: the text itself where it is one, else its letters and digits with a hash of the whole.

    The hash keeps two texts apart that differ only in what an identifier cannot hold.
    """
    if identifier_problem(text) is None and "-" not in text:
        return text
    kept = _UNSAFE.sub("_", text).strip("_") or "x"
    kept = kept if not kept[0].isdigit() else f"_{kept}"
    mark = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:_HASH_CHARACTERS]
    return f"{kept[: POSTGRES_MAX_BYTES - _HASH_CHARACTERS - 1]}_{mark}"
