"""What a database is made of, as one line per object and as one hash over them.

Two databases of one template have the same lines, whatever their names, OIDs, rows and sequence positions. The values of
isolated columns are checked and then shown as a placeholder; Manor's own tables are left out. Who may enter the database beside
its owner and the role of its own name is part of it. Comments, large objects, event triggers, publications and settings of the
database as a whole are not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from manor.control.engines.driver import IsolatedColumn
from manor.control.engines.postgres.fingerprint_facts import Facts
from manor.control.engines.postgres.fingerprint_lines import lines_of
from manor.control.engines.postgres.isolation import function_body, function_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """One database, described."""

    lines: list[str]
    """One per object, in the order of their bytes."""
    isolated: bool
    """Every isolated column holds the value that it should."""

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 of the lines."""
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()


def description_of(facts: Facts, isolation: Sequence[IsolatedColumn]) -> Description:
    """The description that follows from a database's catalogs."""
    bodies = {function_name(column): function_body(column.value) for column in isolation}
    lines, proven = lines_of(facts, bodies)
    return Description(lines=lines, isolated=proven == len(isolation))


def explain_drift(golden_lines: Sequence[str], tenant_lines: Sequence[str]) -> list[str]:
    """How a tenant's lines differ from the golden ones, each difference one short line, in the order of the objects."""
    golden, tenant = _by_object(golden_lines), _by_object(tenant_lines)
    differences = []
    for name in sorted(golden.keys() | tenant.keys()):
        if name not in tenant:
            differences.append(f"{name}: missing")
        elif name not in golden:
            differences.append(f"{name}: extra")
        else:
            differences += [f"{name}: {change}" for change in _changes(golden[name], tenant[name])]
    return differences


def _by_object(lines: Sequence[str]) -> dict[str, dict[str, str]]:
    objects = {}
    for line in lines:
        name, *facts = line.split("\t")
        objects[name] = dict(fact.split("=", 1) for fact in facts)
    return objects


def _changes(golden: dict[str, str], tenant: dict[str, str]) -> list[str]:
    changes = []
    for fact in sorted(golden.keys() | tenant.keys()):
        before, after = golden.get(fact, "none"), tenant.get(fact, "none")
        if before != after:
            changes.append(f"{fact} is {_shorten(after)}, should be {_shorten(before)}")
    return changes


def _shorten(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:60]}…{text[-30:]}"
