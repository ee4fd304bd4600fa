"""A plugin for pytest: gives back what a test that failed has left replaced, so that it does not take the next ones with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from azure.cosmos import _retry_utility
from azure.cosmos.aio import _retry_utility_async

_PLAIN = (_retry_utility.ExecuteFunction, _retry_utility_async.ExecuteFunctionAsync)


@pytest.fixture(autouse=True)
def _restore_mocks() -> Iterator[None]:
    yield
    _retry_utility.ExecuteFunction, _retry_utility_async.ExecuteFunctionAsync = _PLAIN
