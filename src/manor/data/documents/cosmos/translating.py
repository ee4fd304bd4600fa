"""What the SDK raises, as errors of ours. Nothing that the server wrote is repeated: it may hold values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.cosmos.exceptions import CosmosHttpResponseError

from manor.data.documents.cosmos.wire import Refused, Unanswered
from manor.data.documents.faults import ItemTooLarge, OutcomeUnknown, TableMissing, Throttled, WriteConflict
from manor.errors import Code, ManorError, UnreachableError


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise errors of ``documents.faults`` for what goes wrong inside; ``what`` names table and key."""
    try:
        yield
    except Unanswered as error:
        raise OutcomeUnknown(f"Cosmos DB did not answer a write: {what}") from error
    except Refused as error:
        raise by_status(error.status, what) from error
    except CosmosHttpResponseError as error:
        raise by_status(int(error.status_code or 0), what, sub=error.sub_status) from error
    except ClientAuthenticationError as error:
        raise ManorError(f"Cosmos DB did not take the credentials: {what}", code=Code.DENIED) from error
    except AzureError as error:
        raise UnreachableError(f"Cosmos DB cannot be reached: {what}", transient=True) from error


def by_status(status: int, what: str, *, sub: int | None = None) -> ManorError:
    """The error for an answer of this status. Writes never come here with a status that leaves the outcome open."""
    told = f"{status}.{sub}" if sub else str(status)
    match status:
        case 404:
            return TableMissing(f"the database or container does not exist: {what}", hint="await ensure_tables() makes it")
        case 429:
            return Throttled(f"Cosmos DB asks to slow down: {what}")
        case 409 | 412 | 449:
            return WriteConflict(f"another write was under way: {what}")
        case 413:
            return ItemTooLarge(f"Cosmos DB takes no more than 2 MB at a time: {what}")
        case 401 | 403:
            return ManorError(f"Cosmos DB denied it ({told}): {what}", code=Code.DENIED)
        case 408 | 500 | 502 | 503 | 504:
            return UnreachableError(f"Cosmos DB failed ({told}): {what}", transient=True)
        case _:
            return ManorError(f"Cosmos DB refused it ({told}): {what}")
