"""The embedded store: documents in a SQLite file."""

from manor.data.documents.sqlite.driver import SQLiteDriver, open_driver

__all__ = ["SQLiteDriver", "open_driver"]
