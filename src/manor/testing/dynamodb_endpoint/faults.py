"""Errors as DynamoDB's clients know them, with the words of the service, and what our errors are among them."""

from __future__ import annotations

from typing import Any

from manor.data.documents.faults import (
    ConditionFailed,
    ExpressionError,
    ItemTooLarge,
    KeyRefused,
    OperandMissing,
    OutcomeUnknown,
    PathMissing,
    TableMissing,
    Throttled,
    TokenReused,
    TransactionCancelled,
    UpdateRefused,
    ValueRefused,
    WriteConflict,
)
from manor.data.documents.tagged import item_to_tagged
from manor.errors import Code, ManorError

SERVICE = "com.amazonaws.dynamodb.v20120810#"
FRAMEWORK = "com.amazon.coral.validate#"
INVALID_PARAMETERS = "One or more parameter values were invalid: "
TOO_DEEP = "Nesting Levels have exceeded supported limits"
NOT_FOUND = "Requested resource not found"


class WireError(Exception):
    """What is answered instead of a result. ``kind`` is the service's name for it, ``more`` stands beside the message.

    ``static`` says that the request alone was enough to find it; single writes put a count of such errors in front.
    """

    def __init__(
        self, kind: str, message: str, *, status: int = 400, static: bool = False, more: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = status
        self.static = static
        self.more = more or {}

    def body(self) -> dict[str, Any]:
        """The JSON of the answer."""
        space = FRAMEWORK if self.kind in {"ValidationException", "AccessDeniedException"} else SERVICE
        return {"__type": f"{space}{self.kind}", "message": self.message, **self.more}


def invalid(message: str) -> WireError:
    """A request that can never be right."""
    return WireError("ValidationException", message, static=True)


def refused(message: str) -> WireError:
    """A request that does not fit the table or the item."""
    return WireError("ValidationException", message)


def bad_parameter(message: str, *, static: bool = False) -> WireError:
    """The service's most frequent words, followed by what is wrong."""
    return WireError("ValidationException", INVALID_PARAMETERS + message, static=static)


def missing(message: str = NOT_FOUND) -> WireError:
    """A table or index that is not there."""
    return WireError("ResourceNotFoundException", message)


def beyond(what: str) -> WireError:
    """What the service can and this endpoint cannot: said, never imitated."""
    return WireError("UnknownOperationException", f"{what} is not offered by Manor's DynamoDB endpoint")


def wire_error(error: ManorError, *, show_item: bool = False) -> WireError:
    """The service's error for one of ours; ``show_item`` adds the item that made a condition fail."""
    match error:
        case ConditionFailed():
            more = {"Item": item_to_tagged(error.item)} if show_item and error.item is not None else {}
            return WireError("ConditionalCheckFailedException", "The conditional request failed", more=more)
        case TransactionCancelled():
            return _cancelled(error)
        case TableMissing():
            return missing()
        case WriteConflict():
            return WireError("TransactionConflictException", "Transaction is ongoing for the item")
        case Throttled():
            return WireError("ProvisionedThroughputExceededException", error.message)
        case TokenReused():
            return WireError("IdempotentParameterMismatchException", error.message)
        case _:
            return _by_code(error)


def _by_code(error: ManorError) -> WireError:
    """Items to put and keys are checked before a driver is asked, so what it says of them is about an update."""
    if isinstance(error, OutcomeUnknown) or error.code in {Code.UNREACHABLE, Code.TIMEOUT, Code.INTERNAL}:
        return WireError("InternalServerError", error.message, status=500)
    if isinstance(error, ItemTooLarge):
        return refused("Item size to update has exceeded the maximum allowed size")
    if isinstance(error, UpdateRefused):
        return refused(_update_words(error))
    if isinstance(error, ValueRefused) and "deep in each other" in error.problem:
        return refused(TOO_DEEP)
    if isinstance(error, KeyRefused):
        return bad_parameter("The update expression attempted to update the secondary index key to unsupported type")
    return refused(error.problem if isinstance(error, ExpressionError) else error.message)


def _update_words(error: UpdateRefused) -> str:
    """Why an update does not fit the item."""
    if isinstance(error, OperandMissing):
        return "The provided expression refers to an attribute that does not exist in the item"
    if isinstance(error, PathMissing):
        return "The document path provided in the update expression is invalid for update"
    return "An operand in the update expression has an incorrect data type"


_REASONS = {
    "None": None,
    "ConditionalCheckFailed": "The conditional request failed",
    "TransactionConflict": "Transaction is ongoing for the item",
}


def _cancelled(error: TransactionCancelled) -> WireError:
    reasons = []
    for reason in error.reasons:
        told: dict[str, Any] = {"Code": reason.code}
        if reason.code != "None":
            told["Message"] = _REASONS.get(reason.code, reason.message)
        if reason.item is not None:
            told["Item"] = item_to_tagged(reason.item)
        reasons.append(told)
    codes = ", ".join(reason.code for reason in error.reasons)
    message = f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]"
    return WireError("TransactionCanceledException", message, more={"CancellationReasons": reasons, "Message": message})
