"""The client: aiobotocore's, with its own repetitions switched off."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from aiobotocore.config import AioConfig  # type: ignore[import-untyped]
from aiobotocore.session import get_session  # type: ignore[import-untyped]
from aiohttp import ClientError as HttpError
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]
from botocore.loaders import create_loader  # type: ignore[import-untyped]

from manor.data.documents.closing import Requests
from manor.data.documents.dynamodb.compile import Call
from manor.data.documents.dynamodb.translate import answered, unanswered
from manor.errors import Code, InputError, ManorError

_LOADER = create_loader()
"""Keeps the descriptions of services that it has read: the second client of a process is made in milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How to reach DynamoDB. ``credentials`` are never shown."""

    region: str | None = None
    endpoint: str | None = None
    credentials: dict[str, str] = field(default_factory=dict, repr=False)
    max_connections: int = 64
    connect_timeout_seconds: float = 5
    read_timeout_seconds: float = 10

    async def open(self, stack: AsyncExitStack) -> Any:
        """A client that lives as long as ``stack``. Raises ``InputError`` without a region, ``ManorError`` (DENIED)."""
        config = AioConfig(
            max_pool_connections=self.max_connections,
            connect_timeout=self.connect_timeout_seconds,
            read_timeout=self.read_timeout_seconds,
            # Repeating is decided above, where it is known what is safe to repeat. The mode is the one that compares answers
            # with DynamoDB's checksum: botocore reads a broken answer as an empty one, "no such item".
            retries={"total_max_attempts": 1, "mode": "legacy"},
            # Parameters are made by ``compile``; checking them again costs without finding anything
            parameter_validation=False,
        )
        options = {f"aws_{name}": value for name, value in self.credentials.items()}
        if self.endpoint:
            options["endpoint_url"] = self.endpoint
        try:
            session = get_session()
            session.register_component("data_loader", _LOADER)
            client = session.create_client("dynamodb", region_name=self.region, config=config, **options)
            opened = await stack.enter_async_context(client)
        except BotoCoreError as error:
            if type(error).__name__ == "NoRegionError":
                raise InputError("DynamoDB: no region", hint="dynamodb://eu-central-1, or AWS_REGION") from error
            raise ManorError(f"DynamoDB's client cannot be made: {type(error).__name__}", code=Code.DENIED) from error
        except ValueError as error:
            raise InputError("DynamoDB: the endpoint is no URL", hint="endpoint=http://127.0.0.1:8000") from error
        opened.meta.events.register("before-parse.dynamodb", _read_answer)
        return opened


class BrokenAnswerError(BotoCoreError):  # type: ignore[misc]
    """An answer that is no JSON."""

    fmt = "the answer is no JSON"


def _read_answer(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """Read an answer as the JSON that it is. botocore's own reading walks every value by the description of the service, takes
    longer than everything else about a page, and takes a broken answer for an empty one. Errors are left to it."""
    if response_dict["status_code"] != 200:
        return
    try:
        customized_response_dict.update(json.loads(response_dict["body"]))
    except ValueError as error:
        raise BrokenAnswerError from error
    response_dict["body"] = b"{}"


class Sender:
    """``await send(call, where)``: one request, sent once. ``where`` tells table and key, for errors. ``stack`` holds the
    client."""

    def __init__(self, client: Any, stack: AsyncExitStack) -> None:
        self._client = client
        self._stack = stack
        self.requests = Requests()

    async def close(self) -> None:
        """Wait for the requests that are under way, and close the client."""
        try:
            await self.requests.end()
        finally:
            await self._stack.aclose()

    async def __call__(self, call: Call, where: Callable[[], str], *, writes: bool = False) -> dict[str, Any]:
        """The answer. Raises errors of ours only; ``Unfulfilled`` and ``Cancelled`` are for the caller to complete.

        ``writes`` says that a request without an answer may have changed something.
        """
        try:
            with self.requests:
                answer: dict[str, Any] = await getattr(self._client, call.operation)(**call.parameters)
        except ClientError as error:
            raise answered(error.response, where(), writes=writes) from error
        except (BotoCoreError, HttpError, TimeoutError, OSError) as error:
            raise unanswered(error, where(), writes=writes) from error
        except (asyncio.CancelledError, RuntimeError) as error:
            if not self.requests.broke(error):
                raise
            raise unanswered(error, where(), writes=writes) from error
        return answer
