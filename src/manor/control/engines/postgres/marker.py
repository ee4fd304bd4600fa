"""The comment that says whose a database is. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, astuple, fields

from manor.control.engines.driver import Marker
from manor.control.engines.swaps import Grant

_PREFIX = "manor:"


def write_marker(marker: Marker) -> str:
    """The comment for a database; empty fields are left out."""
    return _PREFIX + json.dumps({k: v for k, v in asdict(marker).items() if v}, ensure_ascii=False, separators=(",", ":"))


def read_marker(comment: str | None) -> Marker | None:
    """What a comment says, or None where it is not one of ours (any text that a user may have put there)."""
    if not comment or not comment.startswith(_PREFIX):
        return None
    try:
        found = json.loads(comment[len(_PREFIX) :])
    except ValueError:
        return None
    if not isinstance(found, dict) or not {"catalog", "kind"} <= found.keys():
        return None
    known = {f.name for f in fields(Marker)}
    return Marker(**{k: str(v) for k, v in found.items() if k in known})


def write_rights(grants: Iterable[Grant]) -> str:
    """Rights for a marker; nothing for none."""
    found = [astuple(grant) for grant in grants]
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")) if found else ""


def read_rights(text: str) -> tuple[Grant, ...]:
    """What ``write_rights`` wrote."""
    rows = json.loads(text) if text else []
    return tuple(Grant(role=role, privilege=privilege, grantable=grantable) for role, privilege, grantable in rows)
