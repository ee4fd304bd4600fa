"""Documents of tenants: one meaning on every backend. ``manor.data.connect`` opens a store."""

from manor.data.documents.collection import DatabaseInterface
from manor.data.documents.explaining import Explanation
from manor.data.documents.options import Options
from manor.data.documents.pages import Page
from manor.data.documents.retrying import Retries
from manor.data.documents.tables import Index, Key, Table, Vector
from manor.data.documents.transactions import TransactionManager

__all__ = [
    "DatabaseInterface",
    "Explanation",
    "Index",
    "Key",
    "Options",
    "Page",
    "Retries",
    "Table",
    "TransactionManager",
    "Vector",
]
