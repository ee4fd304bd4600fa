"""``manor catalog rotate-key``: every stored URL under a new key."""

from __future__ import annotations

from manor.control.audit import anchor_head
from manor.control.catalog.records import AuditEvent
from manor.control.catalog.secrets import KeyRing, SecretBox
from manor.control.runtime import Runtime


async def rotate_key(runtime: Runtime, ring: KeyRing, *, retire: bool) -> int:
    """Add a key, re-encrypt, and on request retire the old ones; returns the number of URLs changed.

    The old keys stay in the ring until all is done, so a kill at any point leaves everything readable. A ring that comes from
    ``MANOR_KEY`` is not written: its owner puts the new key first, and this re-encrypts.
    """
    if ring.is_writable:
        ring = ring.rotate()
    changed = await runtime.catalog.reencrypt(SecretBox(ring))
    event = AuditEvent(actor=runtime.actor, action="catalog.rotate_key", subject="catalog", details={"urls": changed})
    await runtime.catalog.append_audit(runtime.operation, [event])
    await anchor_head(runtime.catalog, runtime.anchor, operation_id=runtime.operation)
    if retire and ring.is_writable:
        ring.retire()
    return changed
