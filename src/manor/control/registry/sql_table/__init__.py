"""Tenants in a table of a SQL database: PostgreSQL, MySQL or MariaDB, SQLite, through SQLAlchemy Core.

``engine`` reaches the database, ``columns`` binds fields to what the table has, ``condition`` compiles searches, ``rows`` makes
tenants of rows, ``faults`` finds what cannot be read, ``settings_table`` reads their settings, ``provider`` is the source.
"""

from manor.control.registry.sql_table.engine import SqlPlace
from manor.control.registry.sql_table.provider import DatabaseTenantProvider, TableNames

__all__ = ["DatabaseTenantProvider", "SqlPlace", "TableNames"]
