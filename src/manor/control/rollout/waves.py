"""Which targets are handled together, in provisioning and in releases. Pure.

Copying by file forces a checkpoint per database, and every dirty page of that moment makes it dearer. A wave of provisioning
therefore copies all its databases first and fills them afterwards; it is bounded, so that a killed run builds at most one wave
again. A wave of a release is what may go wrong at once: the next one begins when this one has ended and been looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from manor.control.rollout.strategy import Kind, Strategy
from manor.control.steps import Step, Target

WAVE_SIZE = 200


def waves(steps: Sequence[Step], *, size: int = WAVE_SIZE) -> list[list[Step]]:
    """Steps in order, cut into waves of at most ``size`` targets of one server each."""
    by_server: dict[str, list[Step]] = {}
    for step in steps:
        by_server.setdefault(step.target.server, []).append(step)
    return [group[i : i + size] for group in by_server.values() for i in range(0, len(group), size)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One tenant of a release, as far as its turn depends on it."""

    tenant: str
    """Full tenant id."""
    server: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    order: int = 0
    """Position in the registry."""
    first: bool = False
    """The strategy's ``first`` search found it."""

    @classmethod
    def of(cls, target: Target, *, first: bool = False) -> Member:
        """A target with its variables and, over them, its own fields as attributes."""
        own = {
            "tenant_id": target.tenant.id,
            "customer_code": target.tenant.customer_code,
            "group": target.group,
            "kind": target.kind,
            "template": target.template,
            "server": target.server,
            "database": target.database,
        }
        attributes = {**target.variables, **own}
        return cls(tenant=str(target.tenant), server=target.server, attributes=attributes, order=target.order, first=first)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """Members of a release that are changed together."""

    number: int
    """From 1."""
    members: tuple[Member, ...]
    soak_seconds: int = 0
    """Between this wave and the next one; 0 after the last."""

    def by_server(self) -> dict[str, tuple[Member, ...]]:
        """Its members per server, in their order."""
        found: dict[str, list[Member]] = {}
        for member in self.members:
            found.setdefault(member.server, []).append(member)
        return {server: tuple(members) for server, members in found.items()}


def release_waves(members: Sequence[Member], strategy: Strategy) -> tuple[Wave, ...]:
    """All of ``members`` in waves, each once.

    ``rolling`` and ``blue_green``: ``batch_size`` each. ``canary``: ``initial_percentage`` of all, then each time
    ``increment_percentage`` of all, rounded up, so that no wave is empty. ``atomic``: one wave.
    """
    waiting = in_turn(members, strategy.order_by)
    found: list[Wave] = []
    done = 0
    for size in _sizes(len(waiting), strategy):
        chosen = waiting[done : done + size]
        done += len(chosen)
        soak = strategy.soak_seconds if done < len(waiting) else 0
        found.append(Wave(number=len(found) + 1, members=chosen, soak_seconds=soak))
    return tuple(found)


def _sizes(total: int, strategy: Strategy) -> Iterator[int]:
    """How many members each wave takes; the last one may find fewer."""
    if strategy.kind is Kind.CANARY:
        first, further = _share(total, strategy.initial_percentage), _share(total, strategy.increment_percentage)
    else:
        first = further = total if strategy.kind is Kind.ATOMIC else strategy.batch_size
    done, size = 0, first
    while done < total:
        yield size
        done, size = done + size, further


def _share(total: int, percent: int) -> int:
    """``percent`` of ``total``, rounded up without leaving the whole numbers."""
    return -(-total * percent // 100)


def in_turn(members: Sequence[Member], order_by: Sequence[str]) -> tuple[Member, ...]:
    """By the ``first`` search, then by each attribute (those without it last, either way round), then by the registry's order.

    Digits in attributes count as numbers: ``t9`` comes before ``t10``.
    """
    turn = sorted(members, key=lambda member: member.order)
    for key in reversed(order_by):
        turn = _by_attribute(turn, key.removeprefix("-"), descending=key.startswith("-"))
    turn.sort(key=lambda member: not member.first)
    return tuple(turn)


def _by_attribute(members: Sequence[Member], name: str, *, descending: bool) -> list[Member]:
    having = [member for member in members if name in member.attributes]
    lacking = [member for member in members if name not in member.attributes]
    return sorted(having, key=lambda member: _natural(member.attributes[name]), reverse=descending) + lacking


_DIGITS = re.compile(r"([0-9]{1,18})")


def _natural(text: str) -> tuple[tuple[str | int, ...], str]:
    """Text and numbers by turns, so that every two keys compare; then the text itself, as 01 and 1 are the same number."""
    parts = _DIGITS.split(text)
    return tuple(int(part) if index % 2 else part for index, part in enumerate(parts)), text


def unknown_attributes(members: Sequence[Member], order_by: Sequence[str]) -> tuple[str, ...]:
    """Names in ``order_by`` that no member has a value for: worth a notice, as they order nothing."""
    known = {name for member in members for name in member.attributes}
    return tuple(name for key in order_by if (name := key.removeprefix("-")) not in known)
