"""From settings to a source whose answers are kept."""

from __future__ import annotations

from manor.control.registry.cached.memory import MemoryAnswers
from manor.control.registry.cached.provider import CachedTenantProvider
from manor.control.registry.cached.redis_answers import RedisAnswers
from manor.control.registry.provider import TenantRegistryProvider
from manor.sheet_shapes import CacheBlock
from manor.telemetry import Telemetry


def open_cached(
    source: TenantRegistryProvider, cache: CacheBlock | None, *, name: str, namespace: str, telemetry: Telemetry | None = None
) -> TenantRegistryProvider:
    """``source`` with its answers kept as ``cache`` says; ``source`` itself where nothing is to be kept.

    ``name`` is what the source is called; ``namespace`` tells projects apart that share a Redis. Nothing is connected yet.
    Raises ``InputError`` for an address that is none, ``UnsupportedError`` where redis-py is missing.
    """
    if cache is None or cache.ttl == 0:
        return source
    if cache.redis_url is None:
        return CachedTenantProvider(source, MemoryAnswers(cache.ttl))
    url = cache.redis_url.get_secret_value()
    answers = RedisAnswers(url, cache.ttl, namespace=namespace, source=name, telemetry=telemetry)
    return CachedTenantProvider(source, answers)
