"""What a hook is told, as one document and as environment variables, and what is taken out of both directions.

A hook runs with the rights of whoever runs Manor and can read what that account can read. What is withheld here is what must
not reach a program, its log or its children by accident. Pure but for ``withheld_names``, which reads the settings files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from manor.control.rollout.hook_process import KEPT_BYTES
from manor.control.steps import Failure, Status, Target
from manor.settings import ENVIRON_FILE, PROJECT_FILE, redact_url

PREFIX = "MANOR_"
OUTPUT_BYTES = 16_384
"""Of a hook's output that is kept, from its end."""

_OURS = frozenset({"MANOR_SERVER_ACCOUNT", "MANOR_STATE_DIR"})
"""Variables of ours that hold no secret: a hook that calls ``manor`` needs them."""
_SECRETS = frozenset({"PGPASSWORD", "PGPASSFILE"})
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,20}://\S+")
_PASSWORD = re.compile(r"\b((?:pg|ssl)?password\s*[=:]\s*)('(?:[^'\\]|\\.)*'|\S+)", re.IGNORECASE)
_MOST_IN_VARIABLE = 8_192
"""Characters: an environment has little room, and the document on standard input has everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookContext:
    """What a hook is told about the target that it runs for."""

    operation: str
    verb: str
    target: Target
    attempt: int = 1
    """Which try of the target's change this is, from 1."""
    from_version: str | None = None
    """For updates: the head before."""
    to_version: str | None = None
    versions: tuple[str, ...] = ()
    """For updates: what is to be, or was, applied, in order."""
    status: Status | None = None
    """For ``post_`` hooks: what became of the target."""
    failure: Failure | None = None
    """For ``post_`` hooks: why it failed."""

    def document(self, kind: str) -> dict[str, Any]:
        """The keys of a ``kind`` of hook, as standard input has them."""
        target = self.target
        document: dict[str, Any] = {
            "operation_id": self.operation,
            "verb": self.verb,
            "hook_kind": kind,
            "tenant_id": str(target.tenant),
            "database": target.database,
            "server": target.server,
            "group": target.group,
            "template": target.template,
            "dry_run": False,
            "attempt": self.attempt,
        }
        if kind.endswith("_update"):
            document |= {"from_version": self.from_version, "to_version": self.to_version, "versions": list(self.versions)}
        if kind.startswith("post_"):
            document |= {"status": str(self.status) if self.status else None, "error": _error(self.failure)}
        return document


def stdin_of(document: Mapping[str, Any]) -> bytes:
    """One JSON document, UTF-8, with a line end."""
    return (json.dumps(document, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def environment_of(
    document: Mapping[str, Any], parent: Mapping[str, str], withheld: Collection[str], *, tenant_url: str | None
) -> dict[str, str]:
    """``parent`` without secrets, and each key of ``document`` as ``MANOR_<KEY>``: lists with blanks between their values, an
    error as its message, what is unknown as empty text."""
    variables = {name: text for name, text in parent.items() if not _is_secret(name, text, withheld)}
    variables |= {f"{PREFIX}{key.upper()}": _variable(value) for key, value in document.items()}
    if tenant_url is not None:
        variables[f"{PREFIX}TENANT_URL"] = tenant_url
    return variables


def withheld_names(folder: Path, project: Path) -> frozenset[str]:
    """The variables that the settings files take values from: passwords of servers come that way."""
    found: set[str] = set()
    for path in (folder / ENVIRON_FILE, project / PROJECT_FILE):
        if path.is_file():
            found.update(_REFERENCE.findall(path.read_text(encoding="utf-8", errors="replace")))
    return frozenset(found)


def shown_output(output: bytes, *, tenant_url: str | None = None) -> str:
    """The last ``OUTPUT_BYTES`` of what a hook wrote as text, with passwords masked: those in URLs, and the tenant's own.

    Of an output that was cut, the front is left out: half a password there would not be recognised.
    """
    text = output.decode("utf-8", "replace").replace("\0", "\ufffd")
    for password in _passwords(tenant_url):
        text = text.replace(password, "***")
    text = _PASSWORD.sub(r"\1***", _URL.sub(lambda match: redact_url(match[0]), text))
    cut_in_half = KEPT_BYTES - OUTPUT_BYTES if len(output) >= KEPT_BYTES else 0
    return text.encode()[cut_in_half:][-OUTPUT_BYTES:].decode("utf-8", "ignore")


def _passwords(url: str | None) -> list[str]:
    password = urlsplit(url).password if url else None
    return sorted({password, unquote(password)}, key=len, reverse=True) if password else []


def _is_secret(name: str, text: str, withheld: Collection[str]) -> bool:
    if name in withheld or name in _SECRETS or (name.startswith(PREFIX) and name not in _OURS):
        return True
    return "://" in text and "postgres" in text and redact_url(text) != text


def _error(failure: Failure | None) -> dict[str, str] | None:
    return {"code": str(failure.code), "message": failure.message, "hint": failure.hint} if failure else None


def _variable(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return _variable(value["message"])
    text = " ".join(value) if isinstance(value, list) else str(value).lower() if isinstance(value, bool) else str(value)
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()[:_MOST_IN_VARIABLE]
