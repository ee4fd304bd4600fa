"""How a store behaves, whatever its driver."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from manor.data.documents.retrying import Retries
from manor.errors import InputError

CURSOR_KEY_BYTES = 16
_PROCESS_KEY = secrets.token_bytes(32)


def _now() -> int:
    return int(time.time())


def _token() -> str:
    return secrets.token_hex(18)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """``cursor_key`` signs cursors: by default random for each process, so that cursors end with it; give all processes the
    same 16 or more bytes to let them pass cursors on. ``now`` is in seconds since 1970."""

    cursor_key: bytes = field(default=_PROCESS_KEY, repr=False)
    allow_scans: bool = False
    retries: Retries = field(default_factory=Retries)
    now: Callable[[], int] = _now
    make_token: Callable[[], str] = _token

    def __post_init__(self) -> None:
        if not isinstance(self.cursor_key, bytes):
            raise InputError(f"the cursor_key is bytes, not {type(self.cursor_key).__name__}", hint="at least 16, random")
        if len(self.cursor_key) < CURSOR_KEY_BYTES:
            raise InputError(f"the cursor_key has {len(self.cursor_key)} bytes", hint=f"at least {CURSOR_KEY_BYTES}, random")
