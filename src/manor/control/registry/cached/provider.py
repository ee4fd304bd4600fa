"""A source of which some answers are kept for a while.

Kept are single tenants, their settings, counts and small results of searches. Pages and walks always come from the source:
pages of different age do not make a whole, and whoever walks over all tenants is about to act on what it sees.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from pydantic import TypeAdapter
from pydantic_core import from_json

from manor.control.registry.cached.answers import Answers
from manor.control.registry.provider import Filters, TenantRegistryProvider
from manor.control.registry.search.filters import search_of_filters
from manor.control.registry.tenant_info import TenantInfo

MOST_FOUND = 1_000
"""Tenants of a search whose result is kept."""
_LONGEST_KEY = 200

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form(Generic[_Answer]):
    """How an answer is kept. ``read`` raises ``ValueError`` for what is none; ``write`` gives None for what is not kept."""

    write: Callable[[_Answer], bytes | None]
    read: Callable[[bytes], _Answer]


class CachedTenantProvider(TenantRegistryProvider):
    """``source``, some of whose answers are taken from ``answers``. It closes both."""

    def __init__(self, source: TenantRegistryProvider, answers: Answers) -> None:
        self.source = source
        self._answers = answers

    def __repr__(self) -> str:
        return f"<kept answers of {self.source!r}>"

    async def list_tenants(self, filters: Filters | None = None, offset: int = 0, limit: int = 100) -> Sequence[TenantInfo]:
        """From the source."""
        return await self.source.list_tenants(filters, offset, limit)

    def iter_tenants(self, filters: Filters | None = None) -> AsyncIterator[TenantInfo]:
        """From the source."""
        return self.source.iter_tenants(filters)

    def parts(self) -> Mapping[str, int]:
        """From the source."""
        return self.source.parts()

    async def get_tenant(self, tenant_id: str) -> TenantInfo:
        """As it was at most as long ago as answers are kept. That a tenant is not there is not kept."""
        return await self._kept("tenant", tenant_id, _INFO, lambda: self.source.get_tenant(tenant_id))

    async def get_tenant_config(self, tenant_id: str) -> Mapping[str, Any]:
        """As they were at most as long ago as answers are kept."""
        return await self._kept("config", tenant_id, _CONFIG, lambda: self.source.get_tenant_config(tenant_id))

    async def get_tenant_configs(self, tenant_ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """From the source: whoever asks for many is about to act on them."""
        return await self.source.get_tenant_configs(tenant_ids)

    async def search_tenants(self, query: str) -> Sequence[TenantInfo]:
        """As it was at most as long ago as answers are kept, where it found at most ``MOST_FOUND``."""
        return await self._kept("search", query, _INFOS, lambda: self.source.search_tenants(query))

    async def get_tenant_count(self, filters: Filters | None = None) -> int:
        """As it was at most as long ago as answers are kept."""
        search = search_of_filters(filters)
        return await self._kept("count", str(search or ""), _COUNT, lambda: self.source.get_tenant_count(filters))

    async def forget(self) -> None:
        """Here and in what is shared with others."""
        await self._answers.forget()
        await self.source.forget()

    async def aclose(self) -> None:
        """The source is closed whatever becomes of the answers."""
        try:
            await self._answers.aclose()
        finally:
            await self.source.aclose()

    async def _kept(self, kind: str, subject: str, form: _Form[_Answer], ask: Callable[[], Awaitable[_Answer]]) -> _Answer:
        key = f"{kind}:{_key_part(subject)}"
        look = await self._answers.look(key)
        if look.text is not None:
            try:
                return form.read(look.text)
            except ValueError:
                pass  # of another version, or not ours: as if it were not there
        answer = await ask()
        text = form.write(answer) if look.mark is not None else None
        if text is not None:
            await self._answers.put(key, text, look)
        return answer


def _key_part(subject: str) -> str:
    """Tells all subjects apart: what is long is told by its sum, whose sign no quoted text has."""
    quoted = quote(subject, safe="", errors="surrogatepass")
    if len(quoted) <= _LONGEST_KEY:
        return quoted
    return f"#{hashlib.sha256(quoted.encode()).hexdigest()}"


def _write_config(config: Mapping[str, Any]) -> bytes | None:
    """Only what comes back as it went in."""
    try:
        text = json.dumps(config, allow_nan=False).encode()
    except (TypeError, ValueError):
        return None
    return text if json.loads(text) == config else None


def _read_config(text: bytes) -> Mapping[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("no mapping")
    return found


def _read_count(text: bytes) -> int:
    found = from_json(text)
    if type(found) is not int or found < 0:
        raise ValueError("no count")
    return found


def _write_infos(infos: Sequence[TenantInfo]) -> bytes | None:
    return _LIST.dump_json(list(infos)) if len(infos) <= MOST_FOUND else None


_LIST = TypeAdapter(list[TenantInfo])
_INFO: _Form[TenantInfo] = _Form(write=lambda info: info.model_dump_json().encode(), read=TenantInfo.model_validate_json)
_INFOS: _Form[Sequence[TenantInfo]] = _Form(write=_write_infos, read=_LIST.validate_json)
_CONFIG: _Form[Mapping[str, Any]] = _Form(write=_write_config, read=_read_config)
_COUNT: _Form[int] = _Form(write=lambda count: str(count).encode(), read=_read_count)
