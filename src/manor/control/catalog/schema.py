"""The catalog's own database: made if absent, shut to the public, and brought to this release's version."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import errors, sql

from manor.control.catalog.link import CATALOG_DATABASE, Connection, catalog_conninfo, connect, translated
from manor.control.catalog.queries import Migration, query
from manor.errors import CatalogError, Code


async def exists(admin_url: str, *, application: str) -> bool:
    """Whether the server has a catalog database. Raises ``UnreachableError`` or ``CatalogError`` where it cannot be asked."""
    with translated():
        admin = await connect(catalog_conninfo(admin_url, database=None), application=application)
        async with admin:
            row = await (await admin.execute(query("database_exists"))).fetchone()
    return bool(row and row[0])


async def create_database(admin_url: str, *, application: str) -> None:
    """Make the database; that somebody else just made it is fine. Raises ``CatalogError`` where the login may not."""
    with translated():
        admin = await connect(catalog_conninfo(admin_url, database=None), application=application)
        async with admin:
            try:
                await admin.execute(query("create_database"))
            except (errors.DuplicateDatabase, errors.UniqueViolation):
                return
            except errors.InsufficientPrivilege as error:
                raise CatalogError(
                    f"the login {admin.info.user} may not create the database {CATALOG_DATABASE}",
                    hint=f"ALTER ROLE … CREATEDB, or create {CATALOG_DATABASE} yourself with this login as its owner",
                    code=Code.DENIED,
                ) from error


async def rename_database(admin_url: str, old: str, new: str, *, application: str) -> None:
    """Give a catalog's database another name. Raises ``CatalogError``."""
    names = sql.Identifier(old), sql.Identifier(new)
    await _run(admin_url, application, sql.SQL("ALTER DATABASE {} RENAME TO {}").format(*names))


async def create_beside(admin_url: str, name: str, *, application: str) -> None:
    """Make an empty database like that of a catalog, which nobody else may enter; what has its name is dropped before. Raises
    ``CatalogError``."""
    database = sql.Identifier(name)
    await drop_beside(admin_url, name, application=application)
    await _run(
        admin_url,
        application,
        sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'").format(database),
        sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database),
    )


async def drop_beside(admin_url: str, name: str, *, application: str) -> None:
    """Drop it; no error where there is none."""
    statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    await _run(admin_url, application, statement)


async def _run(admin_url: str, application: str, *statements: sql.Composed) -> None:
    with translated():
        admin = await connect(catalog_conninfo(admin_url, database=None), application=application)
        async with admin:
            for statement in statements:
                await admin.execute(statement)


async def applied(connection: Connection) -> list[tuple[int, str]]:
    """(version, checksum) of every migration that was applied; empty for a database without a catalog in it."""
    try:
        rows = await (await connection.execute(query("applied_migrations"))).fetchall()
    except (errors.UndefinedTable, errors.InvalidSchemaName):
        return []
    return [(row[0], row[1]) for row in rows]


def compare(found: Sequence[tuple[int, str]], migrations: Sequence[Migration]) -> int:
    """How many of ``migrations`` are applied. Raises ``CatalogError`` for a newer catalog and for an edited migration."""
    if len(found) > len(migrations):
        raise CatalogError(
            f"the catalog has version {found[-1][0]}, this Manor knows versions up to {len(migrations)}",
            hint="use a newer Manor: this one might damage what it does not know",
            code=Code.REFUSED,
        )
    for (version, checksum), migration in zip(found, migrations, strict=False):
        if (version, checksum) != (migration.version, migration.checksum):
            raise CatalogError(
                f"migration {version} of the catalog is not this Manor's {migration.version:04}_{migration.name}",
                hint="was it made by a development version of Manor?",
            )
    return len(found)


async def migrate(connection: Connection, migrations: Sequence[Migration]) -> int:
    """Apply what is missing, each migration in its own transaction under the migrations' lock; returns how many.

    Of several processes each migration is applied by one, and the others go on after it.
    """
    count = 0
    while compare(await applied(connection), migrations) < len(migrations):
        async with connection.transaction():
            await connection.execute(query("lock_migrations"))
            await _shut_public_out(connection)
            await connection.execute(query("create_version_table"))
            done = compare(await applied(connection), migrations)
            if done < len(migrations):
                await _apply(connection, migrations[done])
                count += 1
    return count


async def _shut_public_out(connection: Connection) -> None:
    row = await (await connection.execute(query("public_may_enter"))).fetchone()
    if row and row[0]:
        await connection.execute(query("shut_public_out"))


async def _apply(connection: Connection, migration: Migration) -> None:
    await connection.execute(migration.sql)
    values = {"version": migration.version, "phase": migration.phase, "name": migration.name, "checksum": migration.checksum}
    await connection.execute(query("record_migration"), values)
