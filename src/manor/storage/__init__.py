"""Object storage, used by both planes: local folders, S3, Google Cloud Storage, Azure.

``open_store`` takes a location and gives a ``Store``; everything else here is behind it.
"""

from manor.storage.driver import Found
from manor.storage.opening import open_store
from manor.storage.store import Store, Stored

__all__ = ["Found", "Store", "Stored", "open_store"]
