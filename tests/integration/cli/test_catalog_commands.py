"""Keys and the audit log through the command line. The tests of this module change one fleet, in this order."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.fernet import Fernet

REGISTRY = ("--registry", "customer_a/tenant_registry.yaml")


def urls(fleet: Any, **environment: str) -> dict[str, str]:
    """Stored URLs, decrypted: of the first tenant and of the last."""
    names = ("acme_std_001", "acme_common")
    return {name: fleet.manor.json("tenant", "url", name, **environment)["url"] for name in names}


@contextlib.contextmanager
def without_triggers(fleet: Any) -> Iterator[None]:
    """What the owner of the catalog's tables can do."""
    tables = ("manor.audit_log", "manor.audit_head")
    for table in tables:
        fleet.ask(f"ALTER TABLE {table} DISABLE TRIGGER ALL", "manor_catalog")
    try:
        yield
    finally:
        for table in tables:
            fleet.ask(f"ALTER TABLE {table} ENABLE TRIGGER ALL", "manor_catalog")


def test_rotating_the_key_keeps_every_url_readable(fleet: Any) -> None:
    """With and without `--retire`; no stored text of any tenant is the same afterwards."""
    before = urls(fleet)
    stored = "SELECT database_url FROM manor.tenants"
    ciphers = set(fleet.ask(stored, "manor_catalog"))
    assert fleet.manor.json("catalog", "rotate-key") == {"reencrypted": 5}
    assert not ciphers & set(fleet.ask(stored, "manor_catalog"))
    assert urls(fleet) == before
    keys = fleet.manor.folder / ".manor" / "keys"
    old = keys.read_text(encoding="utf-8").split()
    fleet.manor("catalog", "rotate-key", "--retire")
    assert urls(fleet) == before
    assert keys.stat().st_mode & 0o077 == 0
    assert old[-1] not in keys.read_text(encoding="utf-8").split()
    assert fleet.manor.json("audit", "verify")["ok"] is True


def test_a_wrong_key_is_told_and_reads_nothing(fleet: Any) -> None:
    """A MANOR_KEY that the catalog was not encrypted with is refused by name, with a hint."""
    error = fleet.manor.json("tenant", "url", "acme_common", code=4, MANOR_KEY=Fernet.generate_key().decode())["error"]
    assert error["code"] == "denied"
    assert "MANOR_KEY" in error["message"] + error["hint"]


def test_a_lost_key_is_not_replaced(fleet: Any) -> None:
    """No command makes a new one, which would hide that the right one must be brought back; then all is well again."""
    keys, kept = fleet.manor.folder / ".manor" / "keys", fleet.manor.folder / "a copy"
    keys.rename(kept)
    for words in (
        ("multi-tenant", "deploy", *REGISTRY),
        ("tenant", "rotate-password", "acme_common"),
        ("catalog", "rotate-key"),
    ):
        error = fleet.manor.json(*words, code=2)["error"]
        assert "there is no key" in error["message"]
        assert "MANOR_KEY" in error["hint"]
        assert not keys.exists()
    kept.rename(keys)
    assert fleet.manor.json("multi-tenant", "deploy", *REGISTRY)["summary"] == {"skipped": 6}


def test_keys_from_the_environment_are_their_owners_to_rotate(fleet: Any) -> None:
    """With MANOR_KEY set no key file is written: its owner puts a new key first, and rotate-key re-encrypts."""
    file = fleet.manor.folder / ".manor" / "keys"
    text = file.read_text(encoding="utf-8")
    known = [word for line in text.splitlines() if not line.startswith("#") for word in line.split()]
    fresh = Fernet.generate_key().decode()
    environment = {"MANOR_KEY": ",".join([fresh, *known])}
    before = urls(fleet, **environment)
    assert fleet.manor.json("catalog", "rotate-key", **environment) == {"reencrypted": 5}
    assert file.read_text(encoding="utf-8") == text
    assert urls(fleet, **environment) == before
    fleet.manor("tenant", "url", "acme_common", code=4)
    file.write_text("\n".join([fresh, *known]) + "\n", encoding="utf-8")
    assert urls(fleet) == before


def test_the_audit_log_tells_who_did_what(fleet: Any) -> None:
    """Newest first, limited, by subject; no password in it."""
    entries = fleet.manor.json("audit", "list", "--limit", 1000)
    sequences = [e["sequence"] for e in entries]
    assert sequences == sorted(sequences, reverse=True)
    assert {"deploy.begin", "database.create", "deploy.end", "catalog.rotate_key"} <= {e["action"] for e in entries}
    assert all(e["actor"] and e["mac"] for e in entries)
    about = fleet.manor.json("audit", "list", "--subject", "acme/fixed/acme_common")
    assert {e["subject"] for e in about} == {"acme/fixed/acme_common"}
    assert len(fleet.manor.json("audit", "list", "--limit", 2)) == 2
    assert "database.create" in fleet.manor("audit", "list").stdout


def test_an_untouched_log_verifies(fleet: Any) -> None:
    """Exit code 0, all entries anchored outside."""
    verdict = fleet.manor.json("audit", "verify")
    assert verdict["ok"] is True
    assert verdict["problems"] == []
    assert verdict["anchored_through"] == verdict["entries"] > 0
    assert "✓" in fleet.manor("audit", "verify").stdout


@pytest.mark.parametrize(
    ("change", "undo", "problem"),
    [
        (
            "UPDATE manor.audit_log SET actor = 'nobody' WHERE sequence = 3",
            "UPDATE manor.audit_log SET actor = (SELECT actor FROM kept WHERE sequence = 3) WHERE sequence = 3",
            "entry 3",
        ),
        (
            "DELETE FROM manor.audit_log WHERE sequence = 4",
            "INSERT INTO manor.audit_log SELECT * FROM kept WHERE sequence = 4",
            "4",
        ),
        (
            "DELETE FROM manor.audit_log WHERE sequence > 5",
            "INSERT INTO manor.audit_log SELECT * FROM kept WHERE sequence > 5",
            "cut",
        ),
    ],
    ids=["edit", "deletion", "tail"],
)
def test_verify_finds_what_the_owner_of_the_tables_did(fleet: Any, change: str, undo: str, problem: str) -> None:
    """Exit code 1 and the place, although no trigger prevented it; put back, the log verifies again."""
    fleet.ask("CREATE TABLE kept AS SELECT * FROM manor.audit_log", "manor_catalog")
    with without_triggers(fleet):
        fleet.ask(change, "manor_catalog")
    verdict = fleet.manor.json("audit", "verify", code=1)
    assert verdict["ok"] is False
    assert any(problem in found for found in verdict["problems"]), verdict["problems"]
    assert "✗" in fleet.manor("audit", "verify", code=1).stdout
    with without_triggers(fleet):
        fleet.ask(undo, "manor_catalog")
        fleet.ask("DROP TABLE kept", "manor_catalog")
    assert fleet.manor.json("audit", "verify")["ok"] is True
