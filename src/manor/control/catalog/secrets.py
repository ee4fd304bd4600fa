"""Keys and what they protect: tenant URLs at rest, and the MACs of the audit log.

A key is 32 random bytes in urlsafe base64 (Fernet's form). The first key of a ring encrypts, all decrypt. From each key a
separate audit key is derived (HKDF-SHA256), so that a retired key can leave its audit key behind: it verifies old entries and
decrypts nothing.
Keys never appear in ``repr``, errors or logs; their 8-digit ids, derived one way, do.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from manor.control.catalog.key_file import create_key_file, locked_key_file, read_key_file, replace_key_file, split_keys
from manor.errors import CatalogError, Code, RefusedError

KEY_VARIABLE = "MANOR_KEY"
KEY_FILE_VARIABLE = "MANOR_KEY_FILE"
_AUDIT_ONLY = "audit:"
_HINT = f"set {KEY_VARIABLE} (or {KEY_FILE_VARIABLE}) to the key that this catalog was made with"
_RESTORE = f"bring the file back from your copy of it, or {_HINT}"


@dataclass(frozen=True, slots=True)
class _Key:
    """``secret`` is None for a retired key, of which only the audit key is left."""

    id: str
    secret: bytes | None = field(repr=False)
    audit: bytes = field(repr=False)

    @property
    def text(self) -> str:
        if self.secret is not None:
            return base64.urlsafe_b64encode(self.secret).decode()
        return _AUDIT_ONLY + base64.urlsafe_b64encode(self.audit).decode()

    def retired(self) -> _Key:
        return _Key(self.id, None, self.audit)


def _parse_key(text: str, origin: str) -> _Key:
    audit_only = text.startswith(_AUDIT_ONLY)
    try:
        raw = base64.b64decode(text.removeprefix(_AUDIT_ONLY), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 32:
        raise CatalogError(
            f"a key in {origin} is not 32 bytes in urlsafe base64",
            hint=f"{KEY_VARIABLE} holds one or several keys, comma-separated, the newest first",
            code=Code.BAD_INPUT,
        ) from None
    audit = raw if audit_only else HKDF(algorithm=SHA256(), length=32, salt=None, info=b"manor audit").derive(raw)
    return _Key(hashlib.sha256(b"manor key id" + audit).hexdigest()[:8], None if audit_only else raw, audit)


def _new_password(owner: str) -> str:
    return f"`manor tenant rotate-password {owner}`"


class KeyRing:
    """Keys in order, the primary first. Immutable; ``rotate`` and ``retire`` return the ring that follows."""

    def __init__(self, keys: Sequence[str], *, origin: str = KEY_VARIABLE, path: Path | None = None) -> None:
        """``keys``: as in the file or variable. Raises ``CatalogError`` where one is malformed or the first is retired."""
        self._keys = tuple(_parse_key(key, origin) for key in keys)
        self.origin = origin
        self._path = path
        if self._keys and self._keys[0].secret is None:
            raise CatalogError(f"the first key in {origin} is retired", hint="put the newest key first", code=Code.BAD_INPUT)

    @classmethod
    def load(cls, project: Path, environment: Mapping[str, str]) -> KeyRing:
        """From ``MANOR_KEY``, else the file ``MANOR_KEY_FILE``, else ``<project>/.manor/keys``.

        Where the last one is missing the ring is empty, and says so only when a key is needed. Raises ``CatalogError``.
        """
        if environment.get(KEY_VARIABLE, "").strip():
            return cls(split_keys(environment[KEY_VARIABLE]))
        file = environment.get(KEY_FILE_VARIABLE, "").strip()
        if file:
            return cls._read(Path(file), private=False)
        path = project / ".manor" / "keys"
        return cls._read(path, private=True) if path.exists() else cls((), origin=str(path), path=path)

    @classmethod
    def _read(cls, path: Path, *, private: bool) -> KeyRing:
        return cls(read_key_file(path, private=private), origin=str(path), path=path)

    def created(self) -> KeyRing:
        """This ring; an empty one makes its file, if it may have one (of two creators both get the same key)."""
        if self._keys or self._path is None:
            return self
        create_key_file(self._path, [Fernet.generate_key().decode()])
        return self._read(self._path, private=True)

    def __repr__(self) -> str:
        return f"KeyRing(origin={self.origin!r}, ids={[key.id for key in self._keys]})"

    @property
    def primary_id(self) -> str:
        """Id of the encrypting key. Raises ``CatalogError`` for an empty ring."""
        return self._primary().id

    @property
    def is_writable(self) -> bool:
        """Whether the ring has a file that ``rotate`` and ``retire`` can write."""
        return self._path is not None

    def can_decrypt(self, key_id: str) -> bool:
        """Whether the key of that id is here and not retired."""
        return any(key.id == key_id and key.secret is not None for key in self._keys)

    def fernets(self) -> list[Fernet]:
        """One per key that is not retired, the primary first. Raises ``CatalogError`` for an empty ring."""
        self._primary()
        return [Fernet(base64.urlsafe_b64encode(key.secret)) for key in self._keys if key.secret is not None]

    def audit_keys(self) -> Mapping[str, bytes]:
        """Audit keys by id, those of retired keys too."""
        return {key.id: key.audit for key in self._keys}

    def rotate(self) -> KeyRing:
        """A new primary key before the old ones, written to the file. Re-encrypt the catalog next, then ``retire``.

        Raises ``RefusedError`` where the ring came from ``MANOR_KEY``, which only its owner can change.
        """
        return self._rewritten(lambda ring: [Fernet.generate_key().decode(), *(key.text for key in ring._keys)])

    def retire(self) -> KeyRing:
        """Leave only the audit keys of all but the primary. Raises like ``rotate``.

        Only after ``Catalog.reencrypt`` has ended for *every* catalog that uses this ring (each environment has its own): what
        is still encrypted with an old key is lost then.
        """
        return self._rewritten(lambda ring: [ring._primary().text, *(key.retired().text for key in ring._keys[1:])])

    def _primary(self) -> _Key:
        if not self._keys:
            raise CatalogError(f"there is no key: {self.origin} does not exist", hint=_RESTORE, code=Code.BAD_INPUT)
        return self._keys[0]

    def _rewritten(self, change: Callable[[KeyRing], list[str]]) -> KeyRing:
        self._primary()
        if self._path is None:
            raise RefusedError(
                f"the keys come from {KEY_VARIABLE}, which Manor cannot change",
                hint=f"put a new key (32 random bytes in urlsafe base64) and a comma before the old one in {KEY_VARIABLE}",
            )
        with locked_key_file(self._path):
            keys = change(KeyRing._read(self._path, private=False))
            replace_key_file(self._path, keys)
        return KeyRing(keys, origin=self.origin, path=self._path)


class SecretBox:
    """Encrypts texts, each bound to whom it belongs to, and knows the audit keys."""

    def __init__(self, ring: KeyRing) -> None:
        self.ring = ring
        self._audit_keys = ring.audit_keys()
        self._fernets: list[Fernet] = []

    def __repr__(self) -> str:
        return f"SecretBox({self.ring!r})"

    @property
    def key_id(self) -> str:
        """Id of the key that encrypts and signs now. Raises ``CatalogError`` where there is none."""
        return self.ring.primary_id

    def create_key(self) -> str:
        """The same; the project's key file is made where it is missing. Only for a catalog in which nothing is encrypted yet:
        for any other a new key would hide that the right one is lost.
        """
        self.ring = self.ring.created()
        self._audit_keys = self.ring.audit_keys()
        return self.key_id

    def encrypt(self, owner: str, text: str) -> str:
        """Ciphertext of ``text`` that only ``owner`` (a tenant id) can be given back. Empty stays empty."""
        return self._open_fernets()[0].encrypt(f"{owner}\n{text}".encode()).decode() if text else ""

    def decrypt(self, owner: str, token: str, *, what: str = "URL") -> str:
        """Raises ``CatalogError`` for a wrong key, and for a ciphertext that was made for another owner. ``what``: how errors
        call it."""
        if not token:
            return ""
        try:
            plain = MultiFernet(self._open_fernets()).decrypt(token.encode()).decode()
        except (InvalidToken, UnicodeError):
            lost = f"; where that key is lost, give a new password: {_new_password(owner)}" if what == "URL" else ""
            raise CatalogError(
                f"the stored {what} of {owner} cannot be decrypted", hint=f"{_HINT}{lost}", code=Code.DENIED
            ) from None
        found, _, text = plain.partition("\n")
        if found != owner:
            heal = f"; give a new password: {_new_password(owner)}" if what == "URL" else ""
            raise CatalogError(
                f"the stored {what} of {owner} is the one of {found}", hint=f"the catalog was changed by hand{heal}"
            )
        return text

    def is_current(self, token: str) -> bool:
        """Whether the primary key made this ciphertext."""
        try:
            self._open_fernets()[0].decrypt(token.encode())
        except InvalidToken:
            return False
        return True

    def audit_key(self, key_id: str) -> bytes | None:
        """The audit key of that id, or None where the ring does not have it."""
        return self._audit_keys.get(key_id)

    def check(self, key_id: str) -> None:
        """Raises ``CatalogError`` unless the ring decrypts what the key of that id encrypted; "" is nobody's."""
        if not key_id or self.ring.can_decrypt(key_id):
            return
        if not self._audit_keys:
            raise CatalogError(f"there is no key: {self.ring.origin} does not exist", hint=_RESTORE, code=Code.BAD_INPUT)
        raise CatalogError(
            f"the catalog is encrypted with key {key_id}, which is not among those of {self.ring.origin}",
            hint=_HINT,
            code=Code.DENIED,
        )

    def _open_fernets(self) -> list[Fernet]:
        if not self._fernets:
            self._fernets = self.ring.fernets()
        return self._fernets
