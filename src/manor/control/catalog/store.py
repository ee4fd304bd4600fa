"""What every part of the catalog works with, and how values become batches."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from manor.control.catalog.link import Link
from manor.control.catalog.secrets import SecretBox


class Store:
    """A part of the catalog. Every method may raise ``UnreachableError`` (transient) and ``CatalogError``."""

    def __init__(self, link: Link, secrets: SecretBox, catalog_id: str) -> None:
        self._link = link
        self._secrets = secrets
        self._id = catalog_id

    @property
    def id(self) -> str:
        """The catalog's identity, 8 hex digits: databases that Manor made carry it in their marker."""
        return self._id


def batch_json(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as the one JSON parameter of a batch statement."""
    text = json.dumps(list(rows), ensure_ascii=False, separators=(",", ":"), default=str)
    # What UTF-8 cannot hold stays an escape, which the server refuses with a proper error.
    return text.encode("utf-8", "backslashreplace").decode()
