"""``--as``: a backup of one tenant becomes another one's database, with that one's role and values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

Outcome = Callable[[Any], dict[str, Any]]
PARTS = "INSERT INTO parts (id, item) VALUES (1, 1), (2, 2)"
EVERYTHING = "SELECT owner, id, name, changed FROM items ORDER BY id"


def test_a_tenant_that_is_there_gets_the_rows_of_another(fleet: Any, outcome: Outcome) -> None:
    """Isolated columns hold its own value, through foreign keys and without firing triggers; else the rows are the backup's."""
    fleet.write_entries(1, "of the first")
    with fleet.enter(1) as connection:
        connection.execute(PARTS)
        connection.execute("UPDATE items SET name = 'changed' WHERE id = 2")
    backup = fleet.back_up(1)
    fleet.write_entries(2, "of the second")
    done = outcome(fleet.restore(1, "--backup-file", backup, "--as", fleet.tenant(2)))
    assert (done["tenant_id"], done["status"]) == (fleet.tenant(2), "success")
    assert fleet.entries(2) == ["of the first"]
    with fleet.enter(2) as connection:
        rows = connection.execute(EVERYTHING).fetchall()
        assert rows == [("acme_t_002", 1, "first", 0), ("acme_t_002", 2, "changed", 1)]
        assert connection.execute("SELECT DISTINCT owner FROM parts").fetchall() == [("acme_t_002",)]
        connection.execute("UPDATE items SET name = 'again' WHERE id = 1")
        assert connection.execute("SELECT changed FROM items WHERE id = 1").fetchall() == [(1,)]
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute("INSERT INTO items (id, owner, name) VALUES (9, 'acme_t_001', 'not mine')")
    assert fleet.entries(1) == ["of the first"]
    fleet.check()


def test_what_the_other_one_held_can_be_put_back(fleet: Any) -> None:
    """It is a restore of that tenant."""
    fleet.write_entries(2, "of the second")
    fleet.restore(1, "--backup-file", fleet.back_up(1), "--as", "002")
    assert fleet.entries(2) == []
    fleet.restore(2, "--undo")
    assert fleet.entries(2) == ["of the second"]
    fleet.check()


def test_a_tenant_that_is_not_there_is_made(fleet: Any, outcome: Outcome) -> None:
    """By the steps of ``tenant create``, with a role and a URL of its own."""
    fleet.write_entries(1, "of the first")
    done = fleet.restore(1, "--backup-file", fleet.back_up(1), "--as", "copy")
    assert outcome(done)["tenant_id"] == "acme/tenants/copy"
    assert "was made by operation" in done["notices"][0]
    with psycopg.connect(fleet("tenant", "url", "copy").stdout.strip()) as connection:
        assert connection.info.user == "acme_t_copy"
        assert connection.execute("SELECT entry FROM ledger").fetchall() == [("of the first",)]
        assert connection.execute("SELECT DISTINCT owner FROM items").fetchall() == [("acme_t_copy",)]
    fleet.check()


def test_a_dry_run_for_a_tenant_that_is_not_there_says_that_it_would_be_made(fleet: Any, outcome: Outcome) -> None:
    """And makes nothing. What the command itself would refuse is refused."""
    backup = fleet.back_up(1)
    before = fleet.untouched(1)
    found = outcome(fleet.restore(1, "--backup-file", backup, "--as", "copy", "--dry-run"))
    assert (found["tenant_id"], found["status"]) == ("acme/tenants/copy", "pending")
    assert "into tenant acme/tenants/copy, which would be made first" in found["detail"]
    fleet.refused(1, "--backup-file", backup, "--as", "other/tenants/copy", "--dry-run", code=2)
    assert fleet.untouched(1) == before


def test_rights_of_the_role_itself_go_to_the_other_role(fleet: Any) -> None:
    """What was granted to the backup's tenant by name is granted to the one that gets it, and to nobody else."""
    grant = "GRANT TRUNCATE ON ledger TO {}"
    fleet.ask(grant.format("acme_t_001"), fleet.databases[0])
    backup = fleet.back_up(1)
    fleet.restore(1, "--backup-file", backup, "--as", "002", "--keep-head")
    rights = fleet.ask("SELECT relacl::text FROM pg_class WHERE relname = 'ledger'", fleet.databases[1])[0][0]
    assert "acme_t_002=D" in rights
    assert "acme_t_001" not in rights
    assert fleet.ask("SELECT rolname FROM pg_roles WHERE rolname LIKE 'manor_aside%'") == []


def test_no_tenant_is_made_for_a_backup_that_is_not_the_right_one(fleet: Any) -> None:
    """Everything that can be seen beforehand is looked at first."""
    backup = fleet.back_up(1)
    backup.write_bytes(backup.read_bytes()[:-1])
    fleet.refused(1, "--backup-file", backup, "--as", "copy", code=1)
    fleet.refused(1, "--backup-file", fleet.back_up(1), "--as", "other/tenants/copy", code=2)
    assert fleet.recorded().keys() == set(fleet.databases)


def test_rows_of_a_third_tenant_are_given_to_nobody(fleet: Any) -> None:
    """Somebody took the check away and wrote another tenant's value: such a row is not rewritten."""
    fleet.ask("ALTER TABLE parts DROP CONSTRAINT parts_owner_item_fkey, DROP CONSTRAINT manor_tenant_owner", fleet.databases[0])
    fleet.ask("INSERT INTO parts (id, owner, item) VALUES (1, 'acme_t_003', 1)", fleet.databases[0])
    said = fleet.refused(1, "--backup-file", fleet.back_up(1), "--as", "002", "--keep-head", code=1)
    assert "1 rows of parts hold a value that is not their tenant's" in said
