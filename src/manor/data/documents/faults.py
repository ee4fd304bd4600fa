"""The errors of the document layer. None of them, and no message of a driver, holds a value of an item: keys and names only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from manor.errors import Code, ConflictError, InputError, ManorError, NotFoundError, RefusedError


class ExpressionError(InputError):
    """An expression cannot be used. ``position`` counts characters from 1; 0 where the fault has no single place."""

    def __init__(self, message: str, *, expression: str = "", position: int = 0, hint: str = "") -> None:
        self.expression = expression
        self.position = position
        self.problem = message
        super().__init__(_shown(message, expression, position), hint=hint)


def _shown(message: str, expression: str, position: int) -> str:
    if not expression:
        return message
    if not position:
        return f"{message}: {_cut(expression, 0)}"
    start = max(0, position - 41)
    caret = " " * (position - 1 - start + (3 if start else 0)) + "^"
    return f"{message} (character {position})\n  {_cut(expression, start)}\n  {caret}"


def _cut(text: str, start: int) -> str:
    piece = text[start : start + 100].replace("\n", " ")
    return ("..." if start else "") + piece + ("..." if len(text) > start + 100 else "")


class PathsOverlap(ExpressionError):
    """Two ``paths`` (``nodes.Path``) of an expression: one is the other or inside it, or takes a list for a map."""

    paths: tuple[Any, Any] = ((), ())


class ValueRefused(InputError):
    """A value that an item cannot hold; ``at`` is where it stands, as ``address.lines[2]``."""

    def __init__(self, message: str, *, at: str = "", hint: str = "") -> None:
        self.problem = message
        self.at = at
        super().__init__(f"{at}: {message}" if at else message, hint=hint)

    def inside(self, name: str) -> ValueRefused:
        """The same refusal, seen from the list or map (``name`` is ``[2]`` or a name) that holds the value."""
        joint = "" if not self.at or self.at.startswith("[") else "."
        return ValueRefused(self.problem, at=f"{name}{joint}{self.at}", hint=self.hint)


class KeyRefused(InputError):
    """A key that is not the table's: an attribute is missing, too many, empty, too long or of another type."""


class ItemTooLarge(InputError):
    """An item above ``limits.ITEM_BYTES``."""


class UpdateRefused(InputError):
    """An update that cannot be applied to the item as it is: a missing attribute, a wrong type, a path into nothing."""


class OperandMissing(UpdateRefused):
    """An update that reads an attribute which the item does not have."""


class PathMissing(UpdateRefused):
    """An update that writes into a list or map which the item does not have."""


class CursorRefused(InputError):
    """A cursor that was changed, or belongs to another tenant, table or query."""


class TableMissing(NotFoundError):
    """A table that was declared but does not exist on the server, or was never declared."""


class TenantMissing(RefusedError):
    """Something was asked of a store that is bound to no tenant."""


class ConditionFailed(ConflictError):
    """The condition of a write did not hold, and nothing was written. ``item`` is what was there, None if nothing was."""

    def __init__(self, message: str, *, item: dict[str, Any] | None = None) -> None:
        super().__init__(message, hint="`item` of this error is the item as it was")
        self.item = item


@dataclass(frozen=True, slots=True, kw_only=True)
class CancellationReason:
    """Why one operation of a transaction stood in the way. ``code`` is DynamoDB's word: ``None`` (it did not),
    ``ConditionalCheckFailed``, ``TransactionConflict``, ``ValidationError``, ``ThrottlingError``."""

    code: str = "None"
    message: str = ""
    item: dict[str, Any] | None = None


class TransactionCancelled(ConflictError):
    """Nothing of a transaction was written. ``reasons`` has one entry for each operation, in their order."""

    def __init__(self, reasons: Sequence[CancellationReason], *, table_names: Sequence[str] = ()) -> None:
        self.reasons = tuple(reasons)
        told = [
            f"{number}{f' ({table_names[number - 1]})' if table_names else ''}: {reason.code}"
            for number, reason in enumerate(self.reasons, 1)
            if reason.code != "None"
        ]
        super().__init__(f"the transaction was cancelled by operation {', '.join(told)}")
        self.transient = all(reason.code in {"None", "TransactionConflict", "ThrottlingError"} for reason in self.reasons)


class WriteConflict(ConflictError):
    """Somebody else was writing the same item at the same time; nothing was written and trying again may succeed."""

    def __init__(self, message: str) -> None:
        super().__init__(message, transient=True)


class TokenReused(ConflictError):
    """A transaction's token was used before, for another transaction."""


class Throttled(ManorError):
    """The server asks to slow down; nothing was done."""

    code = Code.EXHAUSTED

    def __init__(self, message: str) -> None:
        super().__init__(message, hint="raise the table's capacity, or send less at a time", transient=True)


class BatchIncomplete(ManorError):
    """A batch that the server did not finish after every attempt; ``keys`` are those that are still to do."""

    code = Code.EXHAUSTED

    def __init__(self, message: str, *, keys: Sequence[dict[str, Any]]) -> None:
        super().__init__(message, hint="`keys` of this error are still to do; the rest is done", transient=True)
        self.keys = tuple(keys)


class OutcomeUnknown(ManorError):
    """A write was sent and no answer came: it may have happened or not, and doing it again would not be safe."""

    code = Code.UNREACHABLE

    def __init__(self, message: str) -> None:
        super().__init__(
            message, hint="read the item to see; a condition or a transaction's token makes a write safe to repeat"
        )
