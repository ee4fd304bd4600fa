"""How a release goes through the fleet, as one value: the command line's words, else the registry's, else ``atomic``. Pure.

Searches (``first``, ``hold_back``, a window's ``where``) stay text here; whoever can look tenants up turns them into tenants.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any

from manor.control.registry.model import Canary, DeploymentStrategy, HealthGate
from manor.control.rollout.windows import Window
from manor.errors import InputError, InvalidInput, Place
from manor.scan import suggest
from manor.typed_input import check


class Kind(enum.StrEnum):
    """How tenants follow each other."""

    ATOMIC = "atomic"
    """All or none, by two-phase commit."""
    ROLLING = "rolling"
    """Batch after batch, each tenant by itself."""
    CANARY = "canary"
    """Few tenants first, then growing shares; stops at the first failure."""
    BLUE_GREEN = "blue_green"
    """Batch after batch; each tenant is cloned, the clone migrated and switched to."""


BATCHED = frozenset({Kind.ROLLING, Kind.BLUE_GREEN})
WAVED = BATCHED | {Kind.CANARY}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What is looked at after a wave, beside connecting and the fingerprint."""

    sql: tuple[str, ...] = ()
    """Queries whose first value must be true."""
    scripts: tuple[str, ...] = ()
    """Paths relative to the registry."""
    max_error_rate: Decimal = Decimal(0)
    """Percent of the wave."""
    timeout_seconds: int = 60
    """Per check."""

    @classmethod
    def of(cls, block: HealthGate) -> Gate:
        """The registry's gate."""
        return cls(
            sql=tuple(block.sql),
            scripts=tuple(block.scripts),
            max_error_rate=block.max_error_rate,
            timeout_seconds=block.timeout_seconds,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """Every setting of one release; those that belong to another kind have their defaults or the registry's values."""

    kind: Kind = Kind.ATOMIC
    batch_size: int = 10
    initial_percentage: int = 5
    increment_percentage: int = 25
    soak_seconds: int = 0
    """Between two waves: the batches' wait, or the canary's evaluation period."""
    max_failures: int | str | None = None
    """A number, a share such as "5%", or None: every tenant is tried."""
    order_by: tuple[str, ...] = ()
    first: str = ""
    pins: Mapping[str, str] = field(default_factory=dict)
    """By tenant id as written, the highest version."""
    hold_back: str | tuple[str, ...] = ()
    """A search, or tenant ids as written."""
    windows: tuple[Window, ...] = ()
    gate: Gate = Gate()
    lock_timeout_seconds: int = 5
    prepare_deadline_seconds: int = 300
    atomic_connections: int | None = None
    """None: one per tenant."""
    grace_period_seconds: int = 86_400

    @property
    def tries_every_tenant(self) -> bool:
        """No failure of one tenant keeps another from being tried."""
        return self.kind in WAVED and self.max_failures is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What the command line says; None is silence. An option has its field's name: ``--batch-size``."""

    batch_size: int | None = None
    wait_between_batches: int | None = None
    initial_percentage: int | None = None
    increment_percentage: int | None = None
    evaluation_period: int | None = None
    max_failures: int | str | None = None
    """A number may be text here, as options are."""
    order_by: Sequence[str] | None = None
    first: str | None = None
    lock_timeout_seconds: int | None = None
    prepare_deadline_seconds: int | None = None
    atomic_connections: int | None = None
    grace_period_seconds: int | None = None

    def said(self) -> dict[str, Any]:
        """Those that are not None, by name."""
        return {found.name: getattr(self, found.name) for found in fields(self) if getattr(self, found.name) is not None}


MEANT_FOR: Mapping[str, frozenset[Kind]] = {
    "batch_size": BATCHED,
    "wait_between_batches": BATCHED,
    "initial_percentage": frozenset({Kind.CANARY}),
    "increment_percentage": frozenset({Kind.CANARY}),
    "evaluation_period": frozenset({Kind.CANARY}),
    "max_failures": WAVED,
    "order_by": WAVED,
    "first": WAVED,
    "prepare_deadline_seconds": frozenset({Kind.ATOMIC}),
    "atomic_connections": frozenset({Kind.ATOMIC}),
    "grace_period_seconds": frozenset({Kind.BLUE_GREEN}),
}
"""The kinds under which an option means something; those that are not here mean something always."""

_TELLS_OF_WAVES = ("batch_size", "wait_between_batches", "canary", "max_failures", "order_by", "first", "health_gate")
"""Keys of the registry that would have no effect if nobody named a kind."""


def strategy_of(block: DeploymentStrategy | None, kind: str | None = None, overrides: Overrides | None = None) -> Strategy:
    """The strategy of one release from the registry's ``block``, ``--strategy`` (``kind``) and other options.

    Raises ``InputError`` for an unknown kind, for an option that means nothing under the chosen kind, and where the registry
    describes waves that nobody chose; ``InvalidInput`` for values out of bounds, with the option as their place.
    """
    said = overrides.said() if overrides else {}
    chosen = _chosen(block, kind)
    _refuse_strangers(chosen, said)
    return _strategy(chosen, _merged(block or DeploymentStrategy(), said))


def _chosen(block: DeploymentStrategy | None, kind: str | None) -> Kind:
    if kind is not None:
        return _kind(kind)
    if block is None:
        return Kind.ATOMIC
    if "type" not in block.model_fields_set:
        _refuse_waves_without_kind(block)
    return Kind(block.type)


def _kind(word: str) -> Kind:
    try:
        return Kind(word)
    except ValueError:
        raise InputError(f"there is no strategy {word!r}", hint=suggest(word, list(Kind)), place=Place("--strategy")) from None


def _refuse_waves_without_kind(block: DeploymentStrategy) -> None:
    """Otherwise the settings of waves would be passed over in silence."""
    idle = [key for key in _TELLS_OF_WAVES if key in block.model_fields_set]
    if idle:
        raise InputError(
            f"deployment_strategy says {', '.join(idle)}, but not which type",
            hint="write type: rolling, canary, blue_green or atomic, or choose with --strategy",
        )


def _refuse_strangers(kind: Kind, said: Mapping[str, Any]) -> None:
    for name in said:
        kinds = MEANT_FOR.get(name, frozenset(Kind))
        if kind not in kinds:
            meant = " or ".join(sorted(kinds))
            raise InputError(
                f"{_option(name)} means nothing with the strategy {kind}",
                hint=f"take it out, or choose --strategy {meant}",
                place=Place(_option(name)),
            )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


class _Options:
    """Places of values that were given as options."""

    def place(self, path: Sequence[str | int] = (), *, key: bool = False) -> Place:  # noqa: ARG002 - the port's signature
        """The option that a value of the block came from."""
        return Place(_option([str(step) for step in path if isinstance(step, str)][-1]))


def _merged(block: DeploymentStrategy, said: Mapping[str, Any]) -> DeploymentStrategy:
    """``block`` with what was said, after the same checks as the registry's."""
    of_canary = {name: value for name, value in said.items() if name in Canary.model_fields}
    others = {name: _as_written(name, value) for name, value in said.items() if name not in of_canary}
    given, problems = check(DeploymentStrategy, others | ({"canary": of_canary} if of_canary else {}), _Options())
    if given is None:
        raise InvalidInput([problem.finding for problem in problems])
    changes = {name: getattr(given, name) for name in others}
    if of_canary:
        changes["canary"] = (block.canary or Canary()).model_copy(update=of_canary)
    return block.model_copy(update=changes)


def _as_written(name: str, value: Any) -> Any:
    """An option as the registry would have it."""
    if name == "max_failures" and isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value):
        return int(value)
    return list(value) if name == "order_by" else value


def _strategy(kind: Kind, block: DeploymentStrategy) -> Strategy:
    canary = block.canary or Canary()
    hold_back = block.hold_back or ()
    return Strategy(
        kind=kind,
        batch_size=block.batch_size,
        initial_percentage=canary.initial_percentage,
        increment_percentage=canary.increment_percentage,
        soak_seconds=_soak(kind, block, canary),
        max_failures=_budget(kind, block.max_failures),
        order_by=tuple(block.order_by),
        first=block.first or "",
        pins=dict(block.pins),
        hold_back=hold_back if isinstance(hold_back, str) else tuple(hold_back),
        windows=tuple(map(Window.of, block.maintenance_windows)),
        gate=Gate.of(block.health_gate),
        lock_timeout_seconds=block.lock_timeout_seconds,
        prepare_deadline_seconds=block.prepare_deadline_seconds,
        atomic_connections=block.atomic_connections,
        grace_period_seconds=block.grace_period_seconds,
    )


def _soak(kind: Kind, block: DeploymentStrategy, canary: Canary) -> int:
    if kind is Kind.CANARY:
        return canary.evaluation_period
    return block.wait_between_batches if kind in BATCHED else 0


def _budget(kind: Kind, written: int | str | None) -> int | str | None:
    """One vote against it ends an atomic release, so a budget means nothing there; a canary that died must stop the others."""
    if kind is Kind.ATOMIC:
        return None
    return 0 if written is None and kind is Kind.CANARY else written
