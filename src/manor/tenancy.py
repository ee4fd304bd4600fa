"""Who a tenant is and which names are safe: the only place that decides what may become an identifier."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

POSTGRES_MAX_BYTES = 63
MYSQL_MAX_CHARACTERS = 64

RESERVED_DATABASES = frozenset(
    {"postgres", "template0", "template1", "mysql", "information_schema", "performance_schema", "sys", "manor_catalog"}
)
RESERVED_ROLES = frozenset({"public", "none"})
"""No role can have these names (PostgreSQL manual, CREATE ROLE), and a tenant's role has its database's name."""
RESERVED_PREFIXES = ("pg_", "manor_")
"""``pg_`` belongs to PostgreSQL (roles of that prefix cannot be made), ``manor_`` to Manor's own databases and roles."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_ID_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True, order=True)
class TenantId:
    """``<customer_code>/<group>/<id>``: unique over all registries that share a catalog."""

    customer_code: str
    group: str
    id: str

    def __str__(self) -> str:
        return f"{self.customer_code}/{self.group}/{self.id}"


def id_part_problem(part: str) -> str | None:
    """Why ``part`` cannot be one part of a tenant id, or None."""
    if not part:
        return "is empty"
    if len(part) > 128:
        return f"has {len(part)} characters, 128 are allowed"
    if not _ID_PART.fullmatch(part):
        return "may hold only letters, digits, '_', '-' and '.' and must not begin with '-' or '.'"
    return None


def identifier_problem(name: str, *, engine: str = "postgres") -> str | None:
    """Why ``name`` cannot become a database, role or table name on ``engine`` ("postgres" or "mysql"), or None.

    Lengths: PostgreSQL cuts identifiers at 63 bytes (NAMEDATALEN - 1) in silence, MySQL refuses above 64 characters.
    """
    if not name:
        return "is empty"
    if engine == "postgres" and len(name.encode()) > POSTGRES_MAX_BYTES:
        return f"has {len(name.encode())} bytes, PostgreSQL allows {POSTGRES_MAX_BYTES}"
    if engine == "mysql" and len(name) > MYSQL_MAX_CHARACTERS:
        return f"has {len(name)} characters, MySQL allows {MYSQL_MAX_CHARACTERS}"
    if not _IDENTIFIER.fullmatch(name):
        return "may hold only letters, digits, '_' and '-' and must begin with a letter or '_'"
    return None


def database_name_problem(name: str, *, engine: str = "postgres") -> str | None:
    """``identifier_problem`` and, beyond it, the names that belong to the server or to Manor."""
    problem = identifier_problem(name, engine=engine)
    if problem:
        return problem
    if name.lower() in RESERVED_DATABASES | RESERVED_ROLES:
        return "is reserved"
    for prefix in RESERVED_PREFIXES:
        if name.lower().startswith(prefix):
            return f"begins with the reserved prefix {prefix!r}"
    return None


def password_of(url: str) -> str:
    """The password inside a tenant's URL, as it was before percent-encoding; empty where there is none."""
    return unquote(urlsplit(url).password or "")
