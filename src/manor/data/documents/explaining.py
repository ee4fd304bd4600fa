"""What a query would do, in words that help to make it cheaper. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from manor.data.documents.driver import Query, Statement
from manor.data.documents.query.nodes import And, Compare, Condition, Path, Ref
from manor.data.documents.tables import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """``access`` is ``partition`` (one partition, in order) or ``scan`` (everything). ``reasons`` say why, and what would help;
    ``statement`` is what is sent, ``parameters`` their names and types (never values)."""

    backend: str
    table: str
    index: str | None
    access: str
    reasons: tuple[str, ...]
    statement: str
    parameters: tuple[str, ...]

    @property
    def scans(self) -> bool:
        """Whether every item is read."""
        return self.access == "scan"


def explanation(backend: str, query: Query, statement: Statement) -> Explanation:
    """Everything there is to say about a query."""
    return Explanation(
        backend=backend,
        table=query.table.name,
        index=query.index.name if query.index else None,
        access="partition" if query.keys else "scan",
        reasons=tuple(_reasons(query)),
        statement=statement.text,
        parameters=statement.parameters,
    )


def _reasons(query: Query) -> list[str]:
    source = f"index {query.index.name}" if query.index else f"table {query.table.name}"
    if query.keys is None:
        return [f"no key condition: every item of {source} is read", *_better(query)]
    reasons = [f"one partition of {source}, by {query.keys.expression.text}"]
    if query.filter is not None and query.filter.text:
        reasons.append(f"the filter is applied to what that finds, after it was read: {query.filter.text}")
    return reasons


def _better(query: Query) -> list[str]:
    """Indexes (or the table itself) whose partition key the filter compares by ``=``."""
    if query.filter is None:
        return []
    equal = set(_equal_names(query.filter.node))
    return [
        f"{name} = … could be the key condition of {source}"
        for source, name in _partitions(query.table)
        if name in equal and not (query.index and source == f"index {query.index.name}")
    ]


def _partitions(table: Table) -> list[tuple[str, str]]:
    return [("the table", table.keys[0].name), *((f"index {index.name}", index.keys[0].name) for index in table.indexes)]


def _equal_names(node: Condition) -> list[str]:
    match node:
        case And(parts):
            return [name for part in parts for name in _equal_names(part)]
        case Compare("=", Path((str(name),)), Ref()):
            return [name]
    return []
