"""What a search can ask for: one table of fields, each with its SQL and with how it is read from a record.

``CATALOG`` is the catalog's half; a new column is one more line in it. Its SQL stands behind ``manor.databases AS databases``
and ``manor.tenants AS tenants``. ``TENANT_INFO`` is what sources tell; its SQL stands behind a table ``AS info`` with a
column for each. Texts are compared byte by byte, as the catalog's database (LOCALE 'C') does.
"""

from __future__ import annotations

import datetime as dt
import enum
import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from manor.tenancy import TenantId

if TYPE_CHECKING:
    from manor.control.registry.tenant_info import TenantInfo

_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def fold(text: str) -> str:
    """Lower case of ASCII letters, no others: what PostgreSQL's ``lower`` and ``ILIKE`` do under LOCALE 'C'."""
    return text.translate(_LOWER)


class Kind(enum.Enum):
    """The type of a field, as messages call it."""

    TEXT = "text"
    BOOLEAN = "true or false"
    TIME = "a point in time"
    JSON = "JSON"


class TenantRow(Protocol):
    """What fields are read from; the catalog's ``DatabaseRecord`` has this shape."""

    @property
    def tenant(self) -> TenantId: ...
    @property
    def database(self) -> str: ...
    @property
    def server(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def template(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def role(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def is_active(self) -> bool: ...
    @property
    def config(self) -> Mapping[str, Any]: ...
    @property
    def variables(self) -> Mapping[str, str]: ...
    @property
    def created_at(self) -> dt.datetime | None: ...
    @property
    def updated_at(self) -> dt.datetime | None: ...


Row = TypeVar("Row")
"""What the values of a table's fields are read from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field(Generic[Row]):
    """One thing that can be asked for. ``sql`` is ours and trusted; ``read`` gives the same value from a record."""

    name: str
    kind: Kind
    sql: str
    read: Callable[[Row], Any]
    ordered: bool = True
    """False where the order of the text says nothing: ``<`` and its like are refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldTable(Generic[Row]):
    """The fields of one source, by name."""

    fields: Mapping[str, Field[Row]]
    bare_names_in: tuple[str, ...] = ()
    """JSON fields in which a name that is no field is looked up, in this order; empty: such a name is refused."""

    @classmethod
    def of(cls, fields: Iterable[Field[Row]], *, bare_names_in: tuple[str, ...] = ()) -> FieldTable[Row]:
        """A table of ``fields``, whose names are unique and in lower case."""
        return cls(fields={one.name: one for one in fields}, bare_names_in=bare_names_in)

    def kind_of(self, name: str) -> Kind:
        """The type of a field or of an accepted bare name."""
        return self.fields[name].kind if name in self.fields else Kind.JSON


CATALOG: FieldTable[TenantRow] = FieldTable.of(
    (
        Field(name="tenant_id", kind=Kind.TEXT, sql="databases.tenant", read=lambda row: str(row.tenant)),
        Field(name="id", kind=Kind.TEXT, sql="tenants.short_id", read=lambda row: row.tenant.id),
        Field(name="customer_code", kind=Kind.TEXT, sql="tenants.customer_code", read=lambda row: row.tenant.customer_code),
        Field(name="group", kind=Kind.TEXT, sql="databases.grp", read=lambda row: row.group),
        Field(name="name", kind=Kind.TEXT, sql="tenants.name", read=lambda row: row.name),
        Field(name="database", kind=Kind.TEXT, sql="databases.database", read=lambda row: row.database),
        Field(name="server", kind=Kind.TEXT, sql="databases.server", read=lambda row: row.server),
        Field(name="template", kind=Kind.TEXT, sql="databases.template", read=lambda row: row.template),
        Field(name="role", kind=Kind.TEXT, sql="databases.role", read=lambda row: row.role),
        Field(name="source", kind=Kind.TEXT, sql="tenants.source", read=lambda row: row.source),
        Field(name="state", kind=Kind.TEXT, sql="databases.state", read=lambda row: row.state),
        Field(
            name="status",
            kind=Kind.TEXT,
            sql="CASE WHEN tenants.is_active THEN 'active' ELSE 'inactive' END",
            read=lambda row: "active" if row.is_active else "inactive",
        ),
        Field(name="is_active", kind=Kind.BOOLEAN, sql="tenants.is_active", read=lambda row: row.is_active),
        # Versions have an order of their own ('9' before '10'), which the catalog does not know.
        Field(
            name="version",
            kind=Kind.TEXT,
            sql="nullif(databases.version, '')",
            read=lambda row: row.version or None,
            ordered=False,
        ),
        Field(name="created_at", kind=Kind.TIME, sql="databases.created_at", read=lambda row: row.created_at),
        Field(name="updated_at", kind=Kind.TIME, sql="databases.updated_at", read=lambda row: row.updated_at),
        Field(name="variables", kind=Kind.JSON, sql="tenants.variables", read=lambda row: row.variables),
        Field(name="config", kind=Kind.JSON, sql="tenants.config", read=lambda row: row.config),
    ),
    bare_names_in=("variables", "config"),
)


TENANT_INFO: FieldTable[TenantInfo] = FieldTable.of(
    (
        Field(name="tenant_id", kind=Kind.TEXT, sql="info.tenant_id", read=lambda info: info.tenant_id),
        Field(name="customer_code", kind=Kind.TEXT, sql="info.customer_code", read=lambda info: info.customer_code),
        Field(name="customer_name", kind=Kind.TEXT, sql="info.customer_name", read=lambda info: info.customer_name),
        Field(name="region", kind=Kind.TEXT, sql="info.region", read=lambda info: info.region),
        Field(name="tier", kind=Kind.TEXT, sql="info.tier", read=lambda info: info.tier),
        Field(name="status", kind=Kind.TEXT, sql="info.status", read=lambda info: info.status),
        Field(name="created_at", kind=Kind.TIME, sql="info.created_at", read=lambda info: info.created_at),
        Field(name="updated_at", kind=Kind.TIME, sql="info.updated_at", read=lambda info: info.updated_at),
        Field(
            name="isolation_strategy", kind=Kind.TEXT, sql="info.isolation_strategy", read=lambda info: info.isolation_strategy
        ),
        Field(name="database_prefix", kind=Kind.TEXT, sql="info.database_prefix", read=lambda info: info.database_prefix),
        Field(name="schema_suffix", kind=Kind.TEXT, sql="info.schema_suffix", read=lambda info: info.schema_suffix),
        Field(name="table_prefix", kind=Kind.TEXT, sql="info.table_prefix", read=lambda info: info.table_prefix),
        # One text, as spreadsheets have it: instances LIKE '%test%'.
        Field(
            name="instances", kind=Kind.TEXT, sql="info.instances", read=lambda info: ";".join(info.instances), ordered=False
        ),
        Field(name="billing_info", kind=Kind.JSON, sql="info.billing_info", read=lambda info: info.billing_info),
        Field(name="contract_info", kind=Kind.JSON, sql="info.contract_info", read=lambda info: info.contract_info),
    )
)


def record_values(row: TenantRow) -> Mapping[str, Any]:
    """The value of each field of ``CATALOG``, as ``Search.matches`` takes them and as the table's SQL gives them."""
    return {name: one.read(row) for name, one in CATALOG.fields.items()}


def info_values(info: TenantInfo) -> Mapping[str, Any]:
    """The value of each field of ``TENANT_INFO``, as ``Search.matches`` takes them."""
    return {name: one.read(info) for name, one in TENANT_INFO.fields.items()}
