"""A driver, bound to one tenant and to declared tables: opened, asked with retries, and closed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Self, TypeVar

from manor.data.documents.driver import Driver, check_capabilities
from manor.data.documents.faults import TableMissing, TenantMissing
from manor.data.documents.limits import TENANT_BYTES
from manor.data.documents.options import Options
from manor.data.documents.query.parser import nearest
from manor.data.documents.retrying import again, name_tenant
from manor.data.documents.tables import Table
from manor.errors import InputError, ManorError
from manor.tenancy import TenantId

T = TypeVar("T")


class TenantBinding:
    """What ``DatabaseInterface`` stands on."""

    def __init__(
        self, driver: Driver, *, tables: Iterable[Table] = (), tenant: str | None = None, options: Options | None = None
    ) -> None:
        self.driver = driver
        self.tables = {table.name: table for table in tables}
        self.options = options or Options()
        self._tenant = None if tenant is None else checked_tenant(tenant)
        self._owns_driver = True
        self._is_open = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.driver.name}, tenant={self._tenant!r})"

    # Life

    async def open(self) -> Self:
        """Connect. A store that is open already stays as it is; one that was closed, or could not be opened, is opened anew."""
        if self._owns_driver and not self._is_open:
            try:
                await self.driver.open()
            except BaseException:
                await self.driver.close()
                raise
            self._is_open = True
        return self

    async def close(self) -> None:
        """Let go of every connection."""
        if self._owns_driver:
            self._is_open = False
            await self.driver.close()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def for_tenant(self, tenant: str) -> Self:
        """The same connections, bound to another tenant. Lives as long as this one; need not be opened or closed."""
        bound = type(self)(self.driver, tables=self.tables.values(), tenant=tenant, options=self.options)
        bound._owns_driver = False
        return bound

    @property
    def tenant_id(self) -> str:
        """Whose documents these are. Raises ``TenantMissing``."""
        if self._tenant is None:
            raise TenantMissing(
                "this store is bound to no tenant", hint="connect(url, tenant=…), or for_tenant(…) for one request"
            )
        return self._tenant

    def table(self, name: str) -> Table:
        """A declared table. Raises ``TableMissing``, ``InputError`` for what is no name at all."""
        try:
            found = self.tables.get(name)
        except TypeError as error:
            raise InputError(f"the name of a table is a str, not {type(name).__name__}") from error
        if found is None:
            known = ", ".join(sorted(self.tables)) or "none"
            raise TableMissing(
                f"table {name!r} is not declared", hint=nearest(str(name), self.tables, "did you mean") or f"declared: {known}"
            )
        return found

    async def ensure_tables(self, tables: Iterable[Table] = ()) -> None:
        """Make what is missing of the declared tables and of these, which are declared by it. Again is harmless.

        Raises ``UnsupportedError`` for a table that the backend cannot keep, ``ConflictError`` for one that has other keys,
        or an index with other keys.
        """
        tenant = self.tenant_id
        self.tables.update((table.name, table) for table in tables)
        for table in self.tables.values():
            check_capabilities(table, self.driver.name, self.driver.capabilities)
        await self._call(lambda: self.driver.ensure_tables(tenant, list(self.tables.values())), repeatable=True)

    async def _call(self, attempt: Callable[[], Awaitable[T]], *, repeatable: bool) -> T:
        """One call of the driver, with retries; errors name the tenant."""
        try:
            try:
                return await attempt()
            except ManorError as error:
                return await again(attempt, error, self.options.retries, repeatable=repeatable)
        except ManorError as error:
            name_tenant(error, self.tenant_id)
            raise


def checked_tenant(tenant: str) -> str:
    """A tenant's name as text. Raises ``InputError`` for an empty, over-long or unprintable one."""
    if not isinstance(tenant, str | TenantId):
        raise InputError(f"a tenant is a str, not {type(tenant).__name__}")
    text = str(tenant)
    if not text or len(text.encode(errors="replace")) > TENANT_BYTES or not text.isprintable():
        raise InputError(f"{text[:40]!r} cannot be a tenant", hint=f"1 to {TENANT_BYTES} bytes of printable text")
    return text
