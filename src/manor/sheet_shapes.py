"""The shapes of tenants in CSV and Excel files, and of what is kept of any source's answers, as they stand in ``project.yaml``
and in a file of ``--config``.

Imported by ``settings_shapes``. The docstrings are the settings' documentation. Secrets never reach a ``repr``.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from manor.api_shapes import Name, Secret, TenantField
from manor.typed_input import StrictModel


class CacheBlock(StrictModel):
    """What is kept of a source's answers: single tenants, their settings, counts and results of searches."""

    ttl: Annotated[int, Field(ge=0, le=86_400)] = 300
    """Seconds for which an answer stays good; 0 keeps nothing. `manor tenant sync` always asks the source, and lets go of what
    was kept."""
    redis_url: Secret | None = None
    """Redis or Valkey that all processes share, such as `redis://:password@host:6379/0`; without it each keeps its own."""


class CsvSource(StrictModel):
    """Tenants in a CSV or Excel file."""

    csv_path: Name
    """Path of the file, relative to the project: XLSX where it ends in `.xlsx`, else CSV."""
    config_dir: Name | None = None
    """Folder of the tenants' settings (`<tenant_id>.yaml` or `.json`), relative to the project."""
    watch_changes: bool = True
    """Whether the file is read again when it changes."""
    encoding: Annotated[str, Field(max_length=64)] = ""
    """Encoding of a CSV file, such as `cp932`; found out where it is absent, and asked for where that is not certain."""
    delimiter: Annotated[str, Field(max_length=1)] = ""
    """What separates the columns of a CSV file; where it is absent, comma, semicolon, tab or bar, as its header has it."""
    sheet: Annotated[str, Field(max_length=256)] = ""
    """Worksheet of an XLSX file; the first one where it is absent."""
    columns: dict[TenantField, Name] = Field(default_factory=dict)
    """By field of a tenant: the name of its column, where it is not called like the field."""
