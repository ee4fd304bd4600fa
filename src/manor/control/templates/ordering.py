"""In which order tables are made and filled, and whose rows are the same for every tenant. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

Needs = Mapping[str, Collection[str]]
"""What each name needs to stand before it."""


def in_order(names: Sequence[str], needs: Needs) -> list[str]:
    """``names`` so that each comes after those that it needs, otherwise in the order given.

    Names that need each other in a circle keep the order given among themselves; a need outside ``names`` is passed over.
    """
    known = set(names)
    direct = {name: {other for other in needs.get(name, ()) if other in known and other != name} for name in names}
    reached = {name: reachable([name], direct) for name in names}
    done: set[str] = set()
    order: list[str] = []
    waiting = list(names)
    while waiting:
        # Someone is always ready: of the circles and single names that wait, one needs none of the others.
        ready = next(n for n in waiting if all(other in done or n in reached[other] for other in direct[n]))
        waiting.remove(ready)
        done.add(ready)
        order.append(ready)
    return order


def reachable(starts: Iterable[str], needs: Needs) -> frozenset[str]:
    """Everything that ``starts`` need, directly or through others; a start itself only where it needs itself in a circle."""
    found: set[str] = set()
    pending = [other for start in starts for other in needs.get(start, ())]
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending.extend(needs.get(name, ()))
    return frozenset(found)


def shared_tables(filled: Collection[str], differing: Collection[str], references: Needs) -> frozenset[str]:
    """The ``filled`` tables whose rows can be put into the golden database.

    ``differing`` are those with rows that differ per tenant. A table that refers to one of them, through however many others,
    differs as well, since its rows could not be loaded before theirs.
    """
    return frozenset(
        name for name in filled if name not in differing and not (reachable([name], references) & set(differing) & set(filled))
    )
