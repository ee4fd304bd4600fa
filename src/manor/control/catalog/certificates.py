"""Signs what the installation certifies, and checks it without the installation. Ed25519 (RFC 8032).

The signing key is derived from the primary key of the ring (HKDF-SHA256, from its audit half, which outlives its retirement),
so that there is no further secret to keep. The public key travels with the document; what says whose key it is, is its
fingerprint: the ring knows those of all its keys, and `manor audit verify-certificate --fingerprint` takes one from elsewhere.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from manor.control.catalog.secrets import KeyRing, SecretBox
from manor.errors import Code, InputError, ManorError

ALGORITHM = "Ed25519"
SIGNATURE = "signature"
"""The key of a signed document that the signature stands under; it covers all the others."""
_PURPOSE = b"manor certificate"


@dataclass(frozen=True, slots=True)
class Signer:
    """The installation's signing key."""

    fingerprint: str
    _key: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def of(cls, secrets: SecretBox) -> Signer:
        """Of the primary key. Raises ``CatalogError`` where there is none."""
        return cls._derived(secrets.audit_key(secrets.key_id) or b"")

    @classmethod
    def _derived(cls, audit_key: bytes) -> Signer:
        key = Ed25519PrivateKey.from_private_bytes(
            HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(audit_key)
        )
        return cls(fingerprint_of(key.public_key().public_bytes_raw()), key)

    def sign(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The document with its signature, for ``verify``."""
        signature = {
            "algorithm": ALGORITHM,
            "public_key": _text(self._key.public_key().public_bytes_raw()),
            "fingerprint": self.fingerprint,
            "value": _text(self._key.sign(canonical(document))),
        }
        return {**document, SIGNATURE: signature}


def known_fingerprints(ring: KeyRing) -> frozenset[str]:
    """Of all keys of the ring, retired ones too."""
    return frozenset(Signer._derived(key).fingerprint for key in ring.audit_keys().values())


def fingerprint_of(public_key: bytes) -> str:
    """SHA-256 of the raw public key, hex."""
    return hashlib.sha256(public_key).hexdigest()


def canonical(document: Mapping[str, Any]) -> bytes:
    """What is signed: the document without its signature, keys sorted, no white space, UTF-8."""
    rest = {key: value for key, value in document.items() if key != SIGNATURE}
    return json.dumps(rest, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def verify(document: Mapping[str, Any]) -> str:
    """The fingerprint of the key that signed it. Raises ``InputError`` for what is no signed document, and ``ManorError``
    (``corrupt``) where it was changed after it was signed. Whose key that is, the caller must know."""
    signature = document.get(SIGNATURE)
    if not isinstance(signature, Mapping) or signature.get("algorithm") != ALGORITHM:
        raise InputError("there is no Ed25519 signature in it", hint="is it a certificate that Manor wrote?")
    try:
        public, value = _bytes(signature["public_key"]), _bytes(signature["value"])
        Ed25519PublicKey.from_public_bytes(public).verify(value, canonical(document))
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise InputError("its signature cannot be read", hint="is the file whole?") from None
    except InvalidSignature:
        raise ManorError(
            "it was changed after it was signed: the signature does not fit", hint="print it again", code=Code.CORRUPT
        ) from None
    fingerprint = fingerprint_of(public)
    if signature.get("fingerprint") != fingerprint:
        raise ManorError("it names the fingerprint of another key than its own", hint="print it again", code=Code.CORRUPT)
    return fingerprint


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, altchars=b"-_", validate=True)
