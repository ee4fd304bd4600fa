"""``manor tenant restore``: what comes out is what was backed up, in service under the same URL, and can be taken back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Outcome = Callable[[Any], dict[str, Any]]


@pytest.mark.parametrize("form", [[], ["--plain"], ["--encrypt"]], ids=["dump", "sql", "age"])
def test_a_tenant_gets_back_what_it_held(fleet: Any, outcome: Outcome, form: list[str]) -> None:
    """Rows written before the backup are there, later ones are not; the URL stays valid and the old database is kept."""
    fleet.write_entries(1, "before")
    url = fleet("tenant", "url", fleet.tenant(1)).stdout
    backup = fleet.back_up(1, *form)
    fleet.write_entries(1, "after")
    done = outcome(fleet.restore(1, "--backup-file", backup))
    assert done["status"] == "success"
    assert done["facts"]["closed_seconds"] > 0
    assert fleet("tenant", "url", fleet.tenant(1)).stdout == url
    assert fleet.entries(1) == ["before"]
    fleet.write_entries(1, "again")  # its sequence goes on behind what came back
    assert fleet.entries(1) == ["before", "again"]
    assert fleet.kept() == [("restored", fleet.tenant(1))]
    fleet.check()


def test_a_backup_is_named_by_its_id(fleet: Any, outcome: Outcome) -> None:
    """The catalog knows where it is."""
    fleet("tenant", "backup", "--tenant-id", fleet.tenant(1))
    (found,) = fleet.json("backup", "list")
    fleet.write_entries(1, "after")
    assert outcome(fleet.restore(1, "--backup-file", found["backup"]))["status"] == "success"
    assert fleet.entries(1) == []


def test_a_backup_that_only_the_storage_knows_is_named_by_its_id_too(fleet: Any, outcome: Outcome) -> None:
    """`backup list` shows it after the catalog was rebuilt, so that its id must lead to it."""
    fleet("tenant", "backup", "--tenant-id", fleet.tenant(1))
    fleet.ask("DELETE FROM manor.backups", "manor_catalog")
    (found,) = fleet.json("backup", "list")
    fleet.write_entries(1, "after")
    assert outcome(fleet.restore(1, "--backup-file", found["backup"]))["status"] == "success"
    assert fleet.entries(1) == []


def test_a_dump_without_manifest_is_restored_on_request(fleet: Any, outcome: Outcome) -> None:
    """Made by hand, without owners and rights: its schema proves it, and it gets the rights that tenants have."""
    fleet.write_entries(1, "before")
    backup = fleet.back_up(1, "--plain")
    rights = ("GRANT ", "REVOKE ", "ALTER DEFAULT PRIVILEGES ")
    lines = [line for line in backup.read_text(encoding="utf-8").splitlines(True) if not line.startswith(rights)]
    bare = backup.parent / "by-hand.sql"
    bare.write_text("".join(line for line in lines if " OWNER TO " not in line), encoding="utf-8")
    fleet.write_entries(1, "after")
    assert outcome(fleet.restore(1, "--backup-file", bare, "--without-manifest"))["status"] == "success"
    assert fleet.entries(1) == ["before"]
    fleet.check()


def test_undo_puts_back_what_was_there(fleet: Any, outcome: Outcome) -> None:
    """Nobody wrote since: the old database comes back, and a second undo leads to the restored one again."""
    backup = fleet.back_up(1)
    fleet.write_entries(1, "after")
    fleet.restore(1, "--backup-file", backup)
    assert outcome(fleet.restore(1, "--undo"))["status"] == "success"
    assert fleet.entries(1) == ["after"]
    fleet.check()
    fleet.restore(1, "--undo")
    assert fleet.entries(1) == []
    assert fleet.kept() == [("restored", fleet.tenant(1))]
    fleet.check()


def test_undo_does_not_lose_what_was_written_since(fleet: Any, outcome: Outcome) -> None:
    """It is refused with the tables' names; on request the writes stay in the database that is kept."""
    backup = fleet.back_up(1)
    fleet.write_entries(1, "after")
    fleet.restore(1, "--backup-file", backup)
    fleet.write_entries(1, "since")
    assert "ledger has 1 new or changed rows" in fleet.refused(1, "--undo", code=1)
    assert outcome(fleet.restore(1, "--undo", "--discard-writes"))["status"] == "success"
    assert fleet.entries(1) == ["after"]
    fleet.restore(1, "--undo", "--discard-writes")
    assert fleet.entries(1) == ["since"]
    fleet.check()


def test_what_was_replaced_is_dropped_after_its_grace_period(fleet: Any) -> None:
    """The next command drops it, and then there is nothing to put back."""
    fleet.restore(1, "--backup-file", fleet.back_up(1), "--grace", 0)
    assert fleet.kept() == [("restored", fleet.tenant(1))]
    assert "nothing is kept of" in fleet.restore(1, "--undo", code=3)["error"]["message"]
    assert fleet.kept() == []
    assert fleet.ask("SELECT datname FROM pg_database WHERE datname ~ '^manor_kept_'") == []


def test_undo_after_the_last_grace_period_puts_back_nothing_older(fleet: Any) -> None:
    """What an earlier restore replaced is kept for longer; it is not what the live database took the place of."""
    fleet.write_entries(1, "oldest")
    first = fleet.back_up(1)
    fleet.write_entries(1, "older")
    fleet.restore(1, "--backup-file", first)
    fleet.write_entries(1, "second")
    fleet.restore(1, "--backup-file", fleet.back_up(1), "--grace", 0)
    error = fleet.restore(1, "--undo", "--discard-writes", code=3)["error"]
    assert "nothing is kept of acme/tenants/001 that its last restore replaced" in error["message"]
    assert "an earlier restore replaced" in error["hint"]
    assert [kind for kind, _ in fleet.kept()] == ["restored"]
    assert fleet.entries(1) == ["oldest", "second"]
    fleet.check()


def test_settings_of_the_database_stay(fleet: Any) -> None:
    """No dump brings them along: search path, limits and settings are those of the live database."""
    name = fleet.databases[0]
    fleet.ask(f"ALTER DATABASE {name} SET work_mem = '7MB'")
    fleet.ask(f"ALTER ROLE {name} IN DATABASE {name} SET search_path = public, pg_catalog")
    fleet.ask(f"ALTER DATABASE {name} CONNECTION LIMIT 9")
    fleet.restore(1, "--backup-file", fleet.back_up(1))
    with fleet.enter(1) as connection:
        shown = connection.execute("SELECT current_setting('work_mem'), current_setting('search_path')").fetchall()
    assert shown == [("7MB", "public, pg_catalog")]
    assert fleet.ask(f"SELECT datconnlimit FROM pg_database WHERE datname = '{name}'") == [(9,)]


def test_the_planner_knows_the_restored_tables(fleet: Any) -> None:
    """Without statistics the first queries would be slow, after the tenant was told that all is well."""
    fleet.write_entries(1, *map(str, range(50)))
    fleet.restore(1, "--backup-file", fleet.back_up(1))
    assert fleet.ask("SELECT reltuples::int FROM pg_class WHERE relname = 'ledger'", fleet.databases[0]) == [(50,)]


def test_the_log_of_a_restore_says_who_what_and_from_where(fleet: Any) -> None:
    """One line for the tenant, with the backup and the time that it was closed; the chain holds."""
    backup = fleet.back_up(1)
    fleet.restore(1, "--backup-file", backup)
    (line,) = fleet.ask("SELECT details FROM manor.audit_log WHERE action = 'tenant.restore'", "manor_catalog")
    assert line[0]["status"] == "success"
    assert line[0]["from"] == str(backup)
    assert line[0]["closed_seconds"] > 0
    fleet("audit", "verify")


@pytest.mark.parametrize("form", [[], ["--plain"]], ids=["dump", "sql"])
def test_a_backup_of_a_server_with_other_roles_is_loaded(fleet: Any, outcome: Outcome, form: list[str]) -> None:
    """Its owner and a role that had rights are not there any more: all belongs to Manor's login, with the rights of goldens."""
    before, name = fleet.back_up(1), fleet.databases[0]
    fleet.ask("CREATE ROLE their_admin; CREATE ROLE reporting")
    for table in ("items", "parts", "ledger"):
        fleet.ask(f"ALTER TABLE {table} OWNER TO their_admin", name)
    fleet.ask("ALTER FUNCTION count_changes() OWNER TO their_admin; GRANT SELECT ON ledger TO reporting", name)
    fleet.ask("ALTER DEFAULT PRIVILEGES FOR ROLE their_admin IN SCHEMA public GRANT SELECT ON TABLES TO manor_tenant", name)
    fleet.write_entries(1, "theirs")
    backup = fleet.back_up(1, *form)
    fleet.restore(1, "--backup-file", before, "--grace", 0)
    fleet("tenant", "restore", "--tenant-id", fleet.tenant(1), "--undo", code=3)  # what was replaced is dropped
    fleet.ask("DROP ROLE their_admin, reporting")
    assert outcome(fleet.restore(1, "--backup-file", backup))["status"] == "success"
    assert fleet.entries(1) == ["theirs"]
    assert fleet.ask("SELECT rolname FROM pg_roles WHERE rolname IN ('their_admin', 'reporting')") == []
    fleet.check()
