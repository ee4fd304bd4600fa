"""Settings of tenants in a folder: ``<tenant_id>.yaml`` or ``<tenant_id>.json``, each a mapping."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from manor.control.registry.finite_json import finite_json
from manor.errors import InputError, Place
from manor.typed_input import describe
from manor.yaml_reader import MAX_FILE_BYTES, read_yaml

ENDINGS = (".yaml", ".yml", ".json")


def read_settings(folder: Path, tenant_id: str, shown: str) -> Mapping[str, Any]:
    """The settings of one tenant as JSON values, empty where there is no file. ``tenant_id`` is one that the source has.

    Raises ``InputError`` for a file that is no mapping, and for two files of one tenant.
    """
    found = [folder / f"{tenant_id}{ending}" for ending in ENDINGS if (folder / f"{tenant_id}{ending}").exists()]
    if not found:
        return {}
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise InputError(f"{names} are both settings of tenant {tenant_id}", place=Place(shown), hint="keep one of them")
    name = f"{shown}/{found[0].name}"
    value = _json(found[0], name) if found[0].suffix == ".json" else read_yaml(found[0], shown_as=name).value
    if not isinstance(value, dict | None):
        raise InputError(f"settings of a tenant are a mapping, found {describe(value)}", place=Place(name, 1, 1))
    plain: Mapping[str, Any] = _as_json(value or {})
    return plain


def _json(path: Path, shown: str) -> Any:
    try:
        if path.stat().st_size > MAX_FILE_BYTES or not path.is_file():
            raise InputError(f"this is no file of at most {MAX_FILE_BYTES:,} bytes", place=Place(shown))
        return finite_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read the file: {error.strerror}", place=Place(shown)) from error
    except ValueError as error:
        raise InputError(f"this is not JSON: {error}", place=Place(shown)) from error


def _as_json(value: Any) -> Any:
    """Fractions as JSON has them."""
    if isinstance(value, dict):
        return {key: _as_json(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_as_json(inner) for inner in value]
    return float(value) if isinstance(value, Decimal) else value
