"""AWS's words, and what they are here. The messages are those that AWS's documentation and its users report."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from botocore import exceptions as sdk

from manor.data.documents.dynamodb.translate import answered, unanswered
from manor.data.documents.faults import (
    ItemTooLarge,
    KeyRefused,
    OperandMissing,
    OutcomeUnknown,
    PathMissing,
    TableMissing,
    Throttled,
    TokenReused,
    UpdateRefused,
    WriteConflict,
)
from manor.errors import Code, InputError, ManorError, UnreachableError

WHERE = "things {PK='p', SK='s'}"


def response(name: str, message: str = "", status: int = 400) -> dict[str, Any]:
    return {"Error": {"Code": name, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("Item size has exceeded the maximum allowed size", ItemTooLarge),
        ("Item size to update has exceeded the maximum allowed size", ItemTooLarge),
        ("The provided expression refers to an attribute that does not exist in the item", OperandMissing),
        ("An operand in the update expression has an incorrect data type", UpdateRefused),
        ("The document path provided in the update expression is invalid for update", PathMissing),
        ("Number overflow. Attempting to store a number with magnitude larger than supported range", UpdateRefused),
        ("Attempting to store more than 38 significant digits in a Number", UpdateRefused),
        (
            "Invalid UpdateExpression: Incorrect operand type for operator or function; operator: +, operand type: S",
            UpdateRefused,
        ),
        (
            "One or more parameter values were invalid: Type mismatch for Index Key user_id Expected: S Actual: N IndexName: U",
            KeyRefused,
        ),
        ("The update expression attempted to update a secondary index key to unsupported type", KeyRefused),
        ("The table does not have the specified index: UserIndex", TableMissing),
        ("Transaction request cannot include multiple operations on one item", InputError),
    ],
)
def test_a_validation_is_told_apart_by_its_message(message: str, error: type[ManorError]) -> None:
    found = answered(response("ValidationException", message), WHERE, writes=True)
    assert type(found) is error
    assert WHERE in str(found)


@pytest.mark.parametrize(
    ("name", "error", "transient"),
    [
        ("ProvisionedThroughputExceededException", Throttled, True),
        ("ThrottlingException", Throttled, True),
        ("RequestLimitExceeded", Throttled, True),
        ("TransactionConflictException", WriteConflict, True),
        ("TransactionInProgressException", OutcomeUnknown, False),
        ("IdempotentParameterMismatchException", TokenReused, False),
        ("ResourceNotFoundException", TableMissing, False),
        ("com.amazonaws.dynamodb.v20120810#ResourceNotFoundException", TableMissing, False),
    ],
)
def test_an_error_with_a_name_has_a_class(name: str, error: type[ManorError], transient: bool) -> None:
    found = answered(response(name), WHERE, writes=True)
    assert type(found) is error
    assert found.transient is transient


@pytest.mark.parametrize("status", [500, 503])
def test_a_failed_server_leaves_writes_unknown_and_reads_to_be_repeated(status: int) -> None:
    failed = response("InternalServerError", status=status)
    assert type(answered(failed, WHERE, writes=True)) is OutcomeUnknown
    read = answered(failed, WHERE, writes=False)
    assert type(read) is UnreachableError
    assert read.transient


def test_a_connection_that_was_reset_is_not_one_that_was_never_made() -> None:
    """aiobotocore says ``EndpointConnectionError`` for both."""
    key = aiohttp.client_reqrep.ConnectionKey("h", 1, False, True, None, None, None)
    refused = aiohttp.ClientConnectorError(key, ConnectionRefusedError(111, "refused"))
    never = unanswered(sdk.EndpointConnectionError(endpoint_url="u", error=refused), WHERE, writes=True)
    assert type(never) is UnreachableError
    assert never.transient
    reset = aiohttp.ClientOSError(104, "reset")
    assert type(unanswered(sdk.EndpointConnectionError(endpoint_url="u", error=reset), WHERE, writes=True)) is OutcomeUnknown
    assert type(unanswered(sdk.ReadTimeoutError(endpoint_url="u"), WHERE, writes=True)) is OutcomeUnknown
    assert type(unanswered(sdk.ConnectTimeoutError(endpoint_url="u"), WHERE, writes=True)) is UnreachableError


def test_missing_credentials_are_no_failure_of_the_network() -> None:
    found = unanswered(sdk.NoCredentialsError(), WHERE, writes=True)
    assert found.code is Code.DENIED
    assert not found.transient
