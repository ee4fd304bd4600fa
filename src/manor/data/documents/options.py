"""How a store behaves, whatever its driver."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from manor.data.documents.retrying import Retries


def _now() -> int:
    return int(time.time())


def _token() -> str:
    return secrets.token_hex(18)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """``cursor_key`` signs cursors: by default random, so that cursors end with the process; give all processes the same 16 or
    more bytes to let them pass cursors on. ``now`` is in seconds since 1970."""

    cursor_key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    allow_scans: bool = False
    retries: Retries = field(default_factory=Retries)
    now: Callable[[], int] = _now
    make_token: Callable[[], str] = _token
