"""Whom a secret may be sent to, and whose certificates are believed."""

from __future__ import annotations

import ssl
from pathlib import Path
from urllib.parse import urlsplit

from manor.api_shapes import ApiAccess
from manor.control.registry.http_json.answers import shown
from manor.errors import InputError, RefusedError

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def origin(url: str) -> tuple[str, str | None, int]:
    """Scheme, host and port: what must be the same for a secret to go there too."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def refuse_in_the_clear(access: ApiAccess) -> None:
    """Raises ``RefusedError`` where a secret would go to another machine by http, unless the settings allow it."""
    oauth = access.auth.oauth
    secret = access.auth_token or access.auth.api_key or access.auth.basic or oauth
    addresses = [access.api_base_url] if secret else []
    addresses += [oauth.token_url] if oauth else []
    for address in addresses:
        parts = urlsplit(address)
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK and not access.allow_http:
            raise RefusedError(
                f"a secret would be sent over the network in the clear, to {shown(address)}",
                hint="use https://; where the network itself is trusted, allow_http: true allows it",
            )


def tls_of(access: ApiAccess, folder: Path) -> ssl.SSLContext | bool:
    """What certificates are checked by; True: the well-known ones. Raises ``InputError`` for a ``ca_file`` that is none."""
    if access.ca_file is None:
        # Reading the well-known certificates takes longer than asking; without https this one, which trusts nobody, will do.
        addresses = [access.api_base_url, *([access.auth.oauth.token_url] if access.auth.oauth else [])]
        secure = any(urlsplit(address).scheme == "https" for address in addresses)
        return True if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        return ssl.create_default_context(cafile=str(folder / access.ca_file))
    except (OSError, ssl.SSLError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "no certificates in it"
        raise InputError(
            f"ca_file {access.ca_file} cannot be used: {why}", hint="a PEM file, relative to the project"
        ) from None
