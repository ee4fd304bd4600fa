"""DynamoDB's and botocore's errors as ours: the only place that knows their names. Pure.

Of the server's messages only the sentence before the first colon is passed on: behind it stand names, and could stand values.
"""

from __future__ import annotations

import socket
from typing import Any

import aiohttp
from botocore import exceptions as sdk  # type: ignore[import-untyped]

from manor.data.documents.driver import Check, Delete, Put, Transaction, Update, Write
from manor.data.documents.dynamodb.place import Place
from manor.data.documents.faults import (
    CancellationReason,
    ConditionFailed,
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
from manor.data.documents.writing import shown_key
from manor.errors import Code, ConflictError, InputError, ManorError, UnreachableError

THROTTLING = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "ProvisionedThroughputExceeded",
        "ThrottlingException",
        "Throttling",
        "ThrottledException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "TooManyRequestsException",
        "SlowDown",
        "LimitExceededException",
    }
)
DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "NotAuthorized",
        "OptInRequired",
        "UnrecognizedClientException",
    }
)
_NEVER_SENT = (sdk.ConnectTimeoutError, sdk.ProxyConnectionError, sdk.SSLError)
_TOO_LARGE = ("size has exceeded", "size to update has exceeded")
_INDEX_KEY = ("type mismatch for index key", "type mismatch for key", "index key", "key attribute", "secondary index")
_UPDATE_KINDS = {
    "the provided expression refers to an attribute that does not exist": OperandMissing,
    "document path provided in the update expression is invalid": PathMissing,
}
_UPDATE = (
    *_UPDATE_KINDS,
    "incorrect data type",
    "number overflow",
    "number underflow",
    "38 significant digits",
    "magnitude",
    "invalid updateexpression",
)


class Unfulfilled(ConditionFailed):
    """A condition that did not hold, as DynamoDB says it; ``condition_failed`` makes the caller's error of it."""

    def __init__(self, response: dict[str, Any], where: str) -> None:
        super().__init__(f"a condition did not hold: {where}")
        self.response = response


class Cancelled(ConflictError):
    """A transaction that did nothing, as DynamoDB says it; ``cancelled`` makes the caller's error of it."""

    def __init__(self, response: dict[str, Any], where: str) -> None:
        super().__init__(f"cancelled: {where}")
        self.response = response


def unanswered(error: BaseException, where: str, *, writes: bool) -> ManorError:
    """Our error where no answer came. ``where`` names table and key; ``writes`` says that something may have been done."""
    name = type(error).__name__
    if isinstance(error, _NO_CREDENTIALS):
        return ManorError(f"DynamoDB: there are no credentials ({name}): {where}", code=Code.DENIED, hint=_CREDENTIALS)
    if isinstance(error, sdk.ParamValidationError | sdk.ValidationError):
        return InputError(f"DynamoDB's client refuses the request ({name}): {where}")
    if not writes or _never_sent(error):
        return UnreachableError(f"DynamoDB cannot be reached ({name}): {where}", transient=True)
    return OutcomeUnknown(f"DynamoDB did not answer a write ({name}): {where}")


def _never_sent(error: BaseException) -> bool:
    """Whether no byte of a request can have left. ``EndpointConnectionError`` alone does not say so: aiobotocore raises it for
    connections that were reset after the request, too."""
    if isinstance(error, sdk.EndpointConnectionError):
        return isinstance(error.kwargs.get("error"), aiohttp.ClientConnectorError | socket.gaierror)
    return isinstance(error, _NEVER_SENT)


_NO_CREDENTIALS = (
    sdk.NoCredentialsError,
    sdk.PartialCredentialsError,
    sdk.CredentialRetrievalError,
    sdk.TokenRetrievalError,
    sdk.UnauthorizedSSOTokenError,
)
_CREDENTIALS = "pass credentials, or set up the chain that boto3 uses: AWS_ACCESS_KEY_ID, a profile, a role"


def answered(response: dict[str, Any], where: str, *, writes: bool) -> ManorError:
    """Our error for one that DynamoDB answered with."""
    name = str(response.get("Error", {}).get("Code", "")).rpartition("#")[2]
    if name in THROTTLING:
        return Throttled(f"DynamoDB asks to slow down ({name}): {where}")
    if name in DENIED:
        return ManorError(f"DynamoDB denies access ({name}): {where}", code=Code.DENIED, hint=_CREDENTIALS)
    match name:
        case "ConditionalCheckFailedException":
            return Unfulfilled(response, where)
        case "TransactionCanceledException":
            return Cancelled(response, where)
        case "ResourceNotFoundException":
            return TableMissing(f"the table does not exist: {where}", hint="await ensure_tables() makes it")
        case "TransactionConflictException" | "ReplicatedWriteConflictException":
            return WriteConflict(f"another transaction is writing the item: {where}")
        case "IdempotentParameterMismatchException":
            return TokenReused(f"the token of this transaction was used for another one: {where}")
        case "TransactionInProgressException":
            return OutcomeUnknown(f"the transaction of this token is still under way: {where}")
        case "ItemCollectionSizeLimitExceededException":
            return ManorError(
                f"the partition is full, local indexes allow 10 GB: {where}", code=Code.EXHAUSTED, hint="spread its items"
            )
        case "ResourceInUseException":
            return WriteConflict(f"the table is being made or changed: {where}")
        case "ValidationException":
            return refused(_message(response), where)
    if response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500) >= 500:
        return _failed(name, where, writes=writes)
    return ManorError(f"DynamoDB refuses ({name}): {where}")


def _failed(name: str, where: str, *, writes: bool) -> ManorError:
    """AWS: "the state of the write is unknown" after an internal error."""
    if writes:
        return OutcomeUnknown(f"DynamoDB failed at a write ({name}): {where}")
    return UnreachableError(f"DynamoDB failed ({name}): {where}", transient=True)


def _message(response: dict[str, Any]) -> str:
    error = response.get("Error", {})
    return str(error.get("Message") or error.get("message") or "")


def refused(message: str, where: str) -> ManorError:
    """Our error for a ValidationException, by what its message says."""
    told = message.lower()
    if "the specified index" in told:
        return TableMissing(f"the index does not exist: {where}", hint="await ensure_tables() makes it")
    if any(words in told for words in _TOO_LARGE):
        return ItemTooLarge(f"the item is larger than DynamoDB takes: {where}", hint="keep large content in object storage")
    if "nesting levels" in told:
        return ValueRefused(f"lists and maps stand too deep in each other: {where}")
    if any(words in told for words in _UPDATE):
        kind = next((kind for words, kind in _UPDATE_KINDS.items() if words in told), UpdateRefused)
        return kind(f"the update cannot be applied to the item: {where}", hint=_reason(told))
    if any(words in told for words in _INDEX_KEY):
        return KeyRefused(f"a key of an index is of another type, or empty: {where}")
    return InputError(f"DynamoDB refuses the request: {where}", hint=_reason(told))


def _reason(told: str) -> str:
    """The server's sentence up to where it quotes."""
    return told.partition(":")[0][:200]


# What comes with values


def condition_failed(response: dict[str, Any], place: Place, write: Write) -> ConditionFailed:
    """With the item as it was."""
    wire = response.get("Item")
    where, verb = shown_key(write.table, write.key), type(write).__name__.lower()
    return ConditionFailed(f"the condition of a {verb} did not hold: {where}", item=place.plain(wire) if wire else None)


def cancelled(response: dict[str, Any], places: list[Place], transaction: Transaction) -> ManorError:
    """With a reason for each operation."""
    told = response.get("CancellationReasons") or []
    if len(told) != len(places):
        return TransactionCancelled([CancellationReason(code="Unknown")])
    pairs = zip(told, places, transaction.operations, strict=True)
    reasons = [_cancellation(reason, place, operation) for reason, place, operation in pairs]
    return TransactionCancelled(reasons, table_names=[operation.table.name for operation in transaction.operations])


_REASONS = {"ProvisionedThroughputExceeded": "ThrottlingError", "DuplicateItem": "ConditionalCheckFailed"}


def _cancellation(reason: dict[str, Any], place: Place, operation: Put | Update | Delete | Check) -> CancellationReason:
    code = reason.get("Code") or "None"
    wire = reason.get("Item")
    message = ""
    if code != "None":
        message = f"{code}: {type(operation).__name__.lower()} of {operation.table.name}"
    return CancellationReason(code=_REASONS.get(code, code), message=message, item=place.plain(wire) if wire else None)
