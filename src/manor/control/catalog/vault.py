"""Stored URLs: reading, setting, and moving to a new key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from manor.control.catalog.ledger import LedgerStore
from manor.control.catalog.queries import query
from manor.control.catalog.records import AuditEvent
from manor.control.catalog.secrets import SecretBox
from manor.control.catalog.store import batch_json
from manor.errors import ConflictError, NotFoundError
from manor.tenancy import TenantId

_REENCRYPT_BATCH = 500


class VaultStore(LedgerStore):
    """Encrypted URLs."""

    async def set_url(self, tenant: TenantId, url: str, *, operation_id: str = "", audit: Sequence[AuditEvent] = ()) -> None:
        """Replace one tenant's URL. Raises ``NotFoundError``."""
        values = {"tenant": str(tenant), "url": self._secrets.encrypt(str(tenant), url)}
        async with self._link.transaction() as connection:
            changed = await connection.execute(query("set_url"), values)
            await self._append(connection, operation_id, audit)
            if await changed.fetchone() is None:
                raise NotFoundError(f"there is no tenant {tenant}")

    async def renew_urls(
        self, urls: Mapping[TenantId, str], *, operation_id: str = "", audit: Sequence[AuditEvent] = ()
    ) -> None:
        """Replace many tenants' URLs in one transaction."""
        rows = [{"tenant": str(tenant), "url": self._secrets.encrypt(str(tenant), url)} for tenant, url in urls.items()]
        async with self._link.transaction() as connection:
            await connection.execute(query("replace_urls"), {"batch": batch_json(rows)})
            await self._append(connection, operation_id, audit)

    async def urls(self, tenants: Iterable[TenantId]) -> dict[TenantId, str]:
        """Decrypted URLs of those tenants that are recorded; empty text where one has none yet."""
        return {tenant: self.decrypt_url(tenant, token) for tenant, token in (await self.encrypted_urls(tenants)).items()}

    async def encrypted_urls(self, tenants: Iterable[TenantId]) -> dict[TenantId, str]:
        """The same as they are stored, for ``decrypt_url``: one that cannot be read must not hide the others."""
        rows = await self._link.rows(query("urls"), {"tenants": [str(tenant) for tenant in tenants]})
        return {TenantId(row[0], row[1], row[2]): row[3] for row in rows}

    def decrypt_url(self, tenant: TenantId, token: str) -> str:
        """One stored URL in plain text. Raises ``CatalogError`` where no key here made it, or where it is another tenant's."""
        return self._secrets.decrypt(str(tenant), token)

    async def confirm_key(self) -> None:
        """Raise ``ConflictError`` where the catalog has moved to a key that was made after our keys were read: what we would
        encrypt, nobody could read once the old keys are retired. For who has just waited for a lock.
        """
        rows = await self._link.rows(query("identity"))
        key_id = str(rows[0][1]) if rows else ""
        if key_id and not self._secrets.ring.can_decrypt(key_id):
            raise ConflictError(
                f"the catalog was moved to key {key_id} while this waited", hint="run the command again", transient=True
            )

    async def reencrypt(self, secrets: SecretBox) -> int:
        """Encrypt every URL, and every key of tenants' backups, with the primary key of ``secrets``, which must still hold the
        old keys; returns how many changed.

        Commits in batches. Killed in the middle, everything stays readable with that ring, and calling again does the rest.
        """
        self._secrets = secrets
        after, changed = "", 0
        while True:
            async with self._link.transaction() as connection:
                found = await connection.execute(query("urls_to_reencrypt"), {"after": after, "limit": _REENCRYPT_BATCH})
                rows = [(str(tenant), str(token)) for tenant, token in await found.fetchall()]
                old = [
                    {"tenant": tenant, "url": secrets.encrypt(tenant, secrets.decrypt(tenant, token))}
                    for tenant, token in rows
                    if not secrets.is_current(token)
                ]
                if old:
                    await connection.execute(query("replace_urls"), {"batch": batch_json(old)})
            changed += len(old)
            if len(rows) < _REENCRYPT_BATCH:
                break
            after = rows[-1][0]
        changed += await self._reencrypt_keys(secrets)
        changed += await self._reencrypt_subjects(secrets)
        await self._link.run(query("replace_key"), {"key_id": secrets.key_id})
        return changed

    async def _reencrypt_subjects(self, secrets: SecretBox) -> int:
        """What erasures under way must know to go on."""
        async with self._link.transaction() as connection:
            rows = await (await connection.execute(query("subjects_to_reencrypt"))).fetchall()
            old = [
                {"tenant": tenant, "subject": secrets.encrypt(tenant, secrets.decrypt(tenant, token))}
                for tenant, token in rows
                if not secrets.is_current(token)
            ]
            if old:
                await connection.execute(query("replace_subjects"), {"batch": batch_json(old)})
        return len(old)

    async def _reencrypt_keys(self, secrets: SecretBox) -> int:
        """The keys of tenants' backups: a few bytes per tenant, in one transaction."""
        async with self._link.transaction() as connection:
            rows = await (await connection.execute(query("keys_to_reencrypt"))).fetchall()
            old = [
                {"tenant": tenant, "recipient": recipient, "secret": secrets.encrypt(tenant, secrets.decrypt(tenant, token))}
                for tenant, recipient, token in rows
                if not secrets.is_current(token)
            ]
            if old:
                await connection.execute(query("replace_tenant_keys"), {"batch": batch_json(old)})
        return len(old)
