"""Answers of a source that are kept for a while: in this process, or in Redis for all of them.

``provider`` is the source that keeps, ``answers`` the port of what it keeps them in, ``memory`` and ``redis_answers`` its
drivers.
"""

from manor.control.registry.cached.opening import open_cached
from manor.control.registry.cached.provider import CachedTenantProvider

__all__ = ["CachedTenantProvider", "open_cached"]
