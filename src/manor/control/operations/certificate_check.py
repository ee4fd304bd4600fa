"""``manor audit verify-certificate``: whether an erasure certificate is what an installation signed. Needs the file only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manor.control.catalog.certificates import verify
from manor.errors import InputError, ManorError


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateVerdict:
    """What is known of one certificate."""

    tenant: str
    erased_at: str
    fingerprint: str = ""
    """Of the key that signed it; empty where the signature does not fit."""
    problem: str = ""
    """Empty: it is whole, and from whom it should be."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problem

    def to_json(self) -> dict[str, Any]:
        """The JSON contract."""
        return {
            "ok": self.ok,
            "tenant_id": self.tenant,
            "erased_at": self.erased_at,
            "fingerprint": self.fingerprint,
            "problem": self.problem,
        }

    @property
    def words(self) -> str:
        """For people."""
        what = f"certificate of {self.tenant}, erased at {self.erased_at}"
        if self.ok:
            return f"✓ {what}: unchanged since key {self.fingerprint} signed it"
        return f"✗ {what}: {self.problem}"


def check_certificate(path: Path, known: AbstractSet[str]) -> CertificateVerdict:
    """Check one file. ``known``: fingerprints of keys that may have signed it. Raises ``InputError`` for what is none."""
    document = _read(path)
    verdict = CertificateVerdict(tenant=str(document.get("tenant", "?")), erased_at=str(document.get("erased_at", "?")))
    try:
        fingerprint = verify(document)
    except InputError as error:
        raise InputError(f"{path}: {error.message}", hint=error.hint) from error
    except ManorError as error:
        return CertificateVerdict(tenant=verdict.tenant, erased_at=verdict.erased_at, problem=error.message)
    unknown = "it is unchanged, but its key is none of those that are known here (--fingerprint names another)"
    return CertificateVerdict(
        tenant=verdict.tenant,
        erased_at=verdict.erased_at,
        fingerprint=fingerprint,
        problem="" if fingerprint in known else f"{unknown}: {fingerprint}",
    )


def _read(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError):
        raise InputError(f"{path} is no JSON", hint="`manor tenant certificate --output F` writes it") from None
    if not isinstance(document, dict):
        raise InputError(f"{path} is no certificate")
    return document
