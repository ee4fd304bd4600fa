"""The rows of a database's catalogs as lines, one per object: ``kind name``, then its facts, with tabs between them.

OIDs, names of schema ``public`` and all else that differs between two databases of one template are not in them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from manor.control.engines.postgres.fingerprint_facts import Facts

MANOR_TABLES = ("schema_migrations",)
MANOR_TABLE_PREFIX = "manor_"
"""Tables, views and sequences of schema ``public`` that belong to Manor and may differ from tenant to tenant."""

_KINDS = {
    "r": "table",
    "p": "partitioned table",
    "v": "view",
    "m": "materialized view",
    "f": "foreign table",
    "S": "sequence",
    "c": "composite type",
}
_ESCAPED = str.maketrans({"\\": "\\\\", "\n": "\\n", "\t": "\\t"})


def lines_of(facts: Facts, bodies: Mapping[str, str]) -> tuple[list[str], int]:
    """All lines in the order of their bytes, and how many of the functions of isolated columns return the right value.

    ``bodies``: the text of each such function by its name; in a line a placeholder stands for it.
    """
    printer = _Printer(facts, bodies)
    return sorted(printer.lines()), printer.proven


class _Printer:
    """Puts the rows of several catalogs together."""

    def __init__(self, facts: Facts, bodies: Mapping[str, str]) -> None:
        self._facts = facts
        self._bodies = bodies
        self.proven = 0
        self._members = set(facts.members)
        self._spaces = {oid: name for oid, name, *_ in facts.spaces if not _is_the_servers(name)}
        self._relations = {
            oid: self._prefixed(space, name)
            for oid, space, name, kind, *_ in facts.relations
            if kind in _KINDS and self._counts("pg_class", oid, space) and not self._is_manors(space, name)
        }
        composite = {row[0] for row in facts.relations if row[3] == "c" and row[0] in self._relations}
        self._types = {
            oid: self._prefixed(space, name)
            for oid, space, name, kind, relation, *_ in facts.types
            if (kind in "edr" or relation in composite) and self._counts("pg_type", oid, space)
        }

    def _counts(self, catalog: str, oid: int, space: int) -> bool:
        """Whether an object stands in a schema of the tenant's, and on its own account instead of an extension's."""
        return space in self._spaces and (catalog, oid) not in self._members

    def _prefixed(self, space: int, name: str) -> str:
        schema = self._spaces[space]
        return name if schema == "public" else f"{schema}.{name}"

    def _is_manors(self, space: int, name: str) -> bool:
        return self._spaces[space] == "public" and (name in MANOR_TABLES or name.startswith(MANOR_TABLE_PREFIX))

    def lines(self) -> Iterator[str]:
        yield from self._containers()
        yield from self._tables()
        yield from self._columns()
        yield from self._parts()
        yield from self._programs()
        yield from self._functions()
        yield from self._kinds_of_values()
        yield from self._rights()

    def _containers(self) -> Iterator[str]:
        for oid, name, owner, grants in self._facts.spaces:
            if self._counts("pg_namespace", oid, oid):
                yield _line("schema", name, f"owner={owner}", grants=grants)
        for _, name, version, space in self._facts.extensions:
            yield _line("extension", name, f"version={version}", f"schema={space}")

    def _tables(self) -> Iterator[str]:
        parts = {oid: (bound, ancestors) for oid, bound, ancestors in self._facts.partitions}
        for oid, _, _, kind, owner, grants, persistence, secured, forced, options, identity, part in self._facts.relations:
            if oid not in self._relations:
                continue
            bound, ancestors = parts.get(oid, (None, None)) if part else (None, None)
            yield _line(
                _KINDS[kind],
                self._relations[oid],
                f"owner={owner}",
                f"persistence={persistence}" if persistence != "p" else None,
                "row security=on" if secured else None,
                "forced row security=on" if forced else None,
                _fact("options", options),
                f"replica identity={identity}" if identity not in "dn" else None,
                _fact("partition", bound),
                _fact("partition of", ancestors),
                grants=grants,
            )

    def _columns(self) -> Iterator[str]:
        defaults = {(relation, number): text for relation, number, text in self._facts.defaults}
        sequences = {row[0] for row in self._facts.relations if row[3] == "S"}
        position: dict[int, int] = defaultdict(int)
        for row in sorted(self._facts.columns, key=lambda row: row[:2]):
            relation, number, name, kind, required, generated, identity, collation, inherited, grants = row
            if relation not in self._relations or relation in sequences:
                continue
            position[relation] += 1
            yield _line(
                "column",
                f"{self._relations[relation]}.{name}",
                f"position={position[relation]}",
                f"type={kind}",
                "not null=yes" if required else None,
                _fact({"": "default", "s": "generated, stored"}.get(generated, "generated"), defaults.get((relation, number))),
                _fact("identity", identity or None),
                _fact("collation", collation),
                f"inherited={inherited}" if inherited else None,
                grants=grants,
            )

    def _parts(self) -> Iterator[str]:
        for relation, domain, kind, name, definition in self._facts.constraints:
            if relation in self._relations or kind in self._types:
                yield _line("constraint", f"{self._relations.get(relation, domain)}.{name}", _fact("definition", definition))
        for relation, name, definition, valid, clustered, identity in self._facts.indexes:
            if relation in self._relations:
                yield _line(
                    "index",
                    name.replace("public.", ""),
                    _fact("definition", definition),
                    None if valid else "valid=no",
                    "clustered=yes" if clustered else None,
                    "replica identity=yes" if identity else None,
                )
        for relation, kind, start, increment, least, most, cache, cycle in self._facts.sequences:
            if relation in self._relations:
                yield _line(
                    "sequence settings",
                    self._relations[relation],
                    f"type={kind}",
                    f"start={start}",
                    f"increment={increment}",
                    f"minimum={least}",
                    f"maximum={most}",
                    f"cache={cache}",
                    "cycle=yes" if cycle else None,
                )

    def _programs(self) -> Iterator[str]:
        for relation, name, definition, enabled in self._facts.rules:
            if relation in self._relations:
                is_query = name == "_RETURN"
                shown = self._relations[relation] + ("" if is_query else f".{name}")
                yield _line(
                    "query of" if is_query else "rule", shown, _fact("definition", definition), _unusual("enabled", enabled)
                )
        for relation, name, internal, function, enabled, definition in self._facts.triggers:
            if relation in self._relations:
                shown = f"{self._relations[relation]}.{function if internal else name}"
                yield _line("trigger", shown, _fact("definition", definition), _unusual("enabled", enabled))
        for relation, name, command, permissive, roles, using, check in self._facts.policies:
            if relation in self._relations:
                yield _line(
                    "policy",
                    f"{self._relations[relation]}.{name}",
                    f"command={command}",
                    f"permissive={'true' if permissive else 'false'}",
                    f"roles={roles}",
                    _fact("using", using),
                    _fact("with check", check),
                )

    def _functions(self) -> Iterator[str]:
        elsewhere: dict[int, str] = dict(self._facts.aggregates) | dict(self._facts.programs)
        for oid, space, name, arguments, count, _, _, owner, grants, body, text in self._facts.functions:
            if not self._counts("pg_proc", oid, space):
                continue
            definition = elsewhere.get(oid, text) or ""
            expected = self._bodies.get(name) if not count and self._spaces[space] == "public" else None
            if expected is not None and body == expected:
                self.proven += 1
                definition = definition.replace(expected, "RETURN :tenant:")
            shown = f"{self._prefixed(space, name)}({arguments})"
            yield _line("function", shown, f"owner={owner}", _fact("definition", definition), grants=grants)

    def _kinds_of_values(self) -> Iterator[str]:
        labels: dict[int, list[str]] = defaultdict(list)
        for kind, label in self._facts.labels:
            labels[kind].append(label)
        for oid, _, _, kind, _, owner, grants, base, required, default in self._facts.types:
            if oid not in self._types:
                continue
            what = f"kind={kind}"
            if kind == "e":
                what = f"labels={','.join(labels[oid])}"
            elif kind == "d":
                what = f"base={base}{' not null' if required else ''}"
            yield _line("type", self._types[oid], f"owner={owner}", what, _fact("default", default), grants=grants)

    def _rights(self) -> Iterator[str]:
        for role, kind, space, grants in self._facts.default_grants:
            yield _line("default grants", " ".join(part for part in (role, kind, space) if part is not None), grants=grants)
        doors: dict[str, set[str]] = defaultdict(set)
        for oid, grantee, home, privilege in self._facts.doors:
            if oid == 0 or grantee != home:
                doors["PUBLIC" if oid == 0 else grantee].add(privilege)
        for grantee, privileges in doors.items():
            yield _line("door", grantee, f"may={','.join(sorted(privileges))}")


def _is_the_servers(schema: str) -> bool:
    return schema == "information_schema" or schema.startswith("pg_")


def _fact(name: str, value: object) -> str | None:
    return None if value is None else f"{name}={value}"


def _unusual(name: str, state: str) -> str | None:
    return None if state == "O" else f"{name}={state}"


def _line(kind: str, name: str, *facts: str | None, grants: Sequence[str] | None = None) -> str:
    shown: Iterable[str] = (fact for fact in facts if fact is not None)
    fields = [f"{kind} {name}", *shown]
    if grants is not None:
        fields.append(f"grants={','.join(sorted(grants))}")
    line = "\t".join(fields)
    if "\\" in line or "\n" in line or line.count("\t") >= len(fields):  # rare, and translating takes longest of all
        return "\t".join(field.translate(_ESCAPED) for field in fields)
    return line
