"""Names of tenants and tables as DynamoDB takes them: letters, digits, ``_``, ``-`` and ``.``, 3 to 255 of them. Pure.

No two pairs of (tenant, table) have one name. Plain names (letters, digits, ``_``, ``.``) are joined by one hyphen, as in
``acme-chats``; with any other character both are escaped and joined by two: ``acme_2Ditaly--chats``. Escaped names have no
hyphen, so the number of hyphens tells the forms apart, and the place of them where the tenant ends.
"""

from __future__ import annotations

import re
from functools import lru_cache

from manor.errors import InputError

LONGEST = 255
_PLAIN = re.compile(r"[A-Za-z0-9_.]+")
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.")
_PADDING = "--."


@lru_cache(maxsize=10_000)
def table_name(tenant: str, table: str) -> str:
    """The name of a tenant's own table. Raises ``InputError`` where it is longer than DynamoDB takes."""
    if _PLAIN.fullmatch(tenant) and _PLAIN.fullmatch(table):
        name = f"{tenant}-{table}"
    else:
        name = f"{escaped(tenant)}--{escaped(table)}"
    if len(name) > LONGEST:
        raise InputError(
            f"table {table}: its name on DynamoDB would have {len(name)} characters, {LONGEST} are allowed",
            hint="shorten the names of tenant or table, or share tables: dynamodb://…?tables=shared",
        )
    return name


def escaped(name: str) -> str:
    """Letters, digits and ``.`` as they are, each other byte of UTF-8 as ``_`` and two digits. Equal only for equal names."""
    return "".join(chr(byte) if byte in _SAFE else f"_{byte:02X}" for byte in name.encode())


def shared_table_name(prefix: str, table: str) -> str:
    """The name of a table that all tenants share: no tenant's own has three hyphens. ``prefix`` has none.

    Raises ``InputError`` where it is longer than DynamoDB takes.
    """
    name = f"{prefix}---{table}"
    if len(name) > LONGEST:
        raise InputError(f"table {table}: its name on DynamoDB would have {len(name)} characters, {LONGEST} are allowed")
    return name


def index_name(index: str) -> str:
    """An index's name, which needs three characters."""
    return index + _PADDING if len(index) < 3 or index.endswith(_PADDING) else index
