"""An expression after parsing: its nodes, what it uses, and a memory of what it was compiled to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from manor.data.documents.query.nodes import Condition, Path, Projection, Update

N = TypeVar("N")
T = TypeVar("T")


class Expression(Generic[N]):
    """One parsed text with its names replaced. Immutable and shared: equal texts with equal names are the same object.

    ``node`` is the tree, ``refs`` the ``:values`` it uses, ``names`` the ``#names`` it uses, ``bare`` the attribute names that
    were written without ``#``, ``paths`` what leads to attributes, each time it stands there, ``positions`` where in the text
    (characters from 1), ``redundant`` whether parentheses stand doubled (DynamoDB itself refuses that).
    """

    __slots__ = ("_compiled", "bare", "kind", "names", "node", "paths", "positions", "redundant", "refs", "text")

    def __init__(
        self,
        kind: str,
        text: str,
        node: N,
        *,
        refs: frozenset[str] = frozenset(),
        names: frozenset[str] = frozenset(),
        bare: frozenset[str] = frozenset(),
        paths: tuple[Path, ...] = (),
        positions: tuple[int, ...] = (),
        redundant: bool = False,
    ) -> None:
        self.kind = kind
        self.text = text
        self.node = node
        self.refs = refs
        self.names = names
        self.bare = bare
        self.paths = paths
        self.positions = positions
        self.redundant = redundant
        self._compiled: dict[Any, Any] = {}

    def position_of(self, path: Path, *, again: bool = False) -> int:
        """Where the path stands, or where it stands ``again``; 0 where that is not known."""
        found = [position for one, position in zip(self.paths, self.positions, strict=False) if one == path]
        return found[again] if len(found) > again else 0

    def compiled(self, compiler: Callable[[Expression[N]], T]) -> T:
        """``compiler(self)``, computed once for each expression; compilers are pure module-level functions of the nodes."""
        try:
            found: T = self._compiled[compiler]
        except KeyError:
            found = self._compiled[compiler] = compiler(self)
        return found

    def compiled_for(self, key: Any, compiler: Callable[[], T]) -> T:
        """The same for what depends on more than the nodes, such as the table or the types of values: ``key`` says on what.

        At most 64 of them are kept.
        """
        found = self._compiled.get(key)
        if found is None:
            if len(self._compiled) >= 64:
                self._compiled.clear()
            found = self._compiled[key] = compiler()
        result: T = found
        return result

    def __repr__(self) -> str:
        return f"Expression({self.kind}, {self.text!r})"


ConditionExpression = Expression[Condition]
UpdateExpression = Expression[Update]
ProjectionExpression = Expression[Projection]
