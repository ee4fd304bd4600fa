"""Where a store is, taken apart: a folder, or a bucket with a prefix and options. Pure.

Credentials are never part of a location: it is written into settings, manifests and logs.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from manor.errors import InputError
from manor.storage.keys import check_prefix


class Scheme(enum.StrEnum):
    """The kinds of store, as URLs spell them."""

    FILE = "file"
    S3 = "s3"
    GS = "gs"
    AZ = "az"
    MEMORY = "memory"


OPTIONS: Mapping[Scheme, frozenset[str]] = {
    Scheme.S3: frozenset(
        {
            "allow_http",
            "endpoint",
            "region",
            "server_side_encryption",
            "skip_signature",
            "sse_kms_key_id",
            "virtual_hosted_style_request",
        }
    ),
    Scheme.GS: frozenset({"allow_http", "endpoint", "skip_signature"}),
    Scheme.AZ: frozenset({"account", "allow_http", "endpoint", "skip_signature", "use_azure_cli", "use_emulator"}),
}
"""What may stand behind the ``?``. None of it is a secret."""

_NO_SECRETS = "credentials come from the environment or the machine: docs/reference/storage.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """One store's place."""

    scheme: Scheme
    folder: Path | None = None
    """Absolute; of ``FILE`` only."""
    container: str = ""
    prefix: str = ""
    """Without ``/`` at either end; may be empty."""
    options: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        if self.folder is not None:
            return str(self.folder)
        return f"{self.scheme}://{self.container}" + (f"/{self.prefix}" if self.prefix else "")


def parse_location(text: str | Path, base: Path | None = None) -> Location:
    """Take apart a path (relative ones from ``base``, default the current folder) or a URL. Raises ``InputError``."""
    if isinstance(text, Path) or "://" not in text:
        return _folder(Path(text), base) if str(text) else _refuse("the storage location is empty")
    scheme = text.partition("://")[0].lower()
    if scheme not in set(Scheme):
        known = ", ".join(f"{known}://" for known in Scheme if known is not Scheme.MEMORY)
        return _refuse(f"{scheme!r} is no kind of storage", f"write a folder, or a URL that begins with one of {known}")
    return _from_url(Scheme(scheme), text)


def _folder(path: Path, base: Path | None) -> Location:
    return Location(scheme=Scheme.FILE, folder=((base or Path.cwd()).absolute() / path))


def _from_url(scheme: Scheme, text: str) -> Location:
    try:
        parts = urlsplit(text)
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        return _refuse(f"the {scheme}:// location cannot be taken apart")
    if "@" in parts.netloc or parts.fragment:
        return _refuse(f"a {scheme}:// location has neither a login nor a '#'", _NO_SECRETS)
    if scheme is Scheme.FILE:
        return _from_file_url(parts.netloc, unquote(parts.path), options)
    if scheme is Scheme.MEMORY:
        return Location(scheme=scheme)
    if not parts.netloc:
        return _refuse(f"the {scheme}:// location names no bucket", f"write {scheme}://bucket/prefix")
    _check_options(scheme, options)
    prefix = check_prefix(unquote(parts.path).strip("/"))
    return Location(scheme=scheme, container=parts.netloc, prefix=prefix, options=options)


def _from_file_url(host: str, path: str, options: Mapping[str, str]) -> Location:
    if host not in {"", "localhost"} or not path or options:
        return _refuse("a file:// location is an absolute path and nothing else", "write file:///var/backups/manor")
    return Location(scheme=Scheme.FILE, folder=Path(path))


def _check_options(scheme: Scheme, options: Mapping[str, str]) -> None:
    unknown = sorted(set(options) - OPTIONS[scheme])
    if unknown:
        known = ", ".join(sorted(OPTIONS[scheme]))
        _refuse(f"a {scheme}:// location has no option {unknown[0]!r}", f"known: {known}; {_NO_SECRETS}")
    endpoint = options.get("endpoint", "")
    if "@" in endpoint:
        _refuse("the endpoint of a storage location has no login", _NO_SECRETS)
    if endpoint.lower().startswith("http:") and not allows_http(options):
        _refuse("the endpoint would be spoken to in clear", "use https, or add allow_http=true")


def allows_http(options: Mapping[str, str]) -> bool:
    """Whether the location says that requests may go without TLS."""
    return options.get("allow_http", "").lower() in {"true", "1", "yes"}


def _refuse(message: str, hint: str = "") -> Location:
    raise InputError(message, hint=hint)
