"""Which tenants a release leaves out or takes only so far: hold-backs and pins. Pure.

Tenants are written as full ids (``customer/group/id``), or short where that is unique. A name that means nobody is an error: a
misspelt pin would protect no one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from manor.control.migrate.model import version_key
from manor.errors import InputError, NotFoundError
from manor.scan import suggest
from manor.tenancy import TenantId


def find_tenants(written: Iterable[str], tenants: Collection[TenantId], *, key: str) -> dict[str, TenantId]:
    """The tenant that each text means. ``tenants`` is the whole fleet; ``key`` names the setting in messages.

    Raises ``NotFoundError`` with a suggestion, ``InputError`` with the candidates where a short id means several.
    """
    full = {str(tenant): tenant for tenant in tenants}
    short: dict[str, list[TenantId]] = {}
    for tenant in tenants:
        short.setdefault(tenant.id, []).append(tenant)
    return {text: full[text] if text in full else _only(text, short, full, key) for text in written}


def _only(text: str, short: Mapping[str, Sequence[TenantId]], full: Mapping[str, TenantId], key: str) -> TenantId:
    found = short.get(text, ())
    if len(found) == 1:
        return found[0]
    if not found:
        raise NotFoundError(f"{key} names {text!r}, and there is no such tenant", hint=suggest(text, [*full, *short]))
    candidates = ", ".join(sorted(map(str, found)))
    raise InputError(f"{key} names {text!r}, which means several tenants", hint=f"name one of them: {candidates}")


def pinned(pins: Mapping[str, str], tenants: Collection[TenantId]) -> dict[TenantId, str]:
    """The highest version that each pinned tenant may get.

    Raises as ``find_tenants``, and ``InputError`` where two spellings of one tenant name different versions.
    """
    found: dict[TenantId, str] = {}
    for text, tenant in find_tenants(pins, tenants, key="pins").items():
        if found.setdefault(tenant, pins[text]) != pins[text]:
            raise InputError(
                f"pins hold {tenant} at {found[tenant]} and at {pins[text]}", hint="keep the entry with the full tenant id"
            )
    return found


def version_for(wanted: str, pin: str | None) -> str:
    """The version that a tenant is taken to: ``wanted``, or its pin where that is lower. Both are versions of migrations."""
    return wanted if pin is None else min(wanted, pin, key=version_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The tenants of one release."""

    taken: tuple[TenantId, ...]
    held: tuple[TenantId, ...]
    """Left out because of ``hold_back``; reported by name."""


def without_held(chosen: Sequence[TenantId], held: AbstractSet[TenantId], *, named: AbstractSet[TenantId]) -> Choice:
    """``chosen`` (by ``--all``, a filter, a group or by name) without those that are held back, unless they were ``named``."""
    left_out = held - named
    return Choice(
        taken=tuple(tenant for tenant in chosen if tenant not in left_out),
        held=tuple(tenant for tenant in chosen if tenant in left_out),
    )
