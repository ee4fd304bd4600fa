"""``manor catalog rotate-key``: every stored URL under a new key."""

from __future__ import annotations

from manor.control.audit import anchor_head
from manor.control.catalog.locks import FLEET_LOCK
from manor.control.catalog.records import AuditEvent
from manor.control.catalog.secrets import KEY_VARIABLE, KeyRing, SecretBox
from manor.control.runtime import Runtime
from manor.errors import RefusedError


async def rotate_key(runtime: Runtime, ring: KeyRing, *, retire: bool, lock_wait_seconds: float = 10.0) -> int:
    """Add a key, re-encrypt, and on request retire the old ones; returns the number of URLs changed.

    The old keys stay in the ring until all is done, so a kill at any point leaves everything readable. A ring that comes from
    ``MANOR_KEY`` is not written: its owner puts the new key first, and this re-encrypts. Raises ``RefusedError`` where such a
    ring is to be retired, and ``ConflictError`` while another operation, which would record URLs under the old key, runs.
    """
    if retire and not ring.is_writable:
        raise RefusedError(
            f"the keys come from {KEY_VARIABLE}, which Manor cannot change: nothing can be retired",
            hint=f"run it without --retire, and then take the old keys out of {KEY_VARIABLE}",
        )
    async with runtime.catalog.lock(FLEET_LOCK, wait_seconds=lock_wait_seconds, holder=runtime.operation):
        return await _rotate(runtime, ring, retire=retire)


async def _rotate(runtime: Runtime, ring: KeyRing, *, retire: bool) -> int:
    if ring.is_writable:
        ring = ring.rotate()
    changed = await runtime.catalog.reencrypt(SecretBox(ring))
    event = AuditEvent(actor=runtime.actor, action="catalog.rotate_key", subject="catalog", details={"urls": changed})
    await runtime.catalog.append_audit(runtime.operation, [event])
    await anchor_head(runtime.catalog, runtime.anchor, operation_id=runtime.operation)
    if retire:
        ring.retire()
    return changed
