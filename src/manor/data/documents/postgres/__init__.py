"""Documents in PostgreSQL."""

from manor.data.documents.postgres.driver import PostgresDriver, open_driver

__all__ = ["PostgresDriver", "open_driver"]
