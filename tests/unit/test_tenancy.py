"""Names that PostgreSQL or Manor keeps for itself are refused before a server is asked."""

from __future__ import annotations

import pytest

from manor.tenancy import database_name_problem, identifier_problem


@pytest.mark.parametrize("name", ["public", "none", "PUBLIC", "postgres", "template1"])
def test_a_name_that_no_database_or_role_can_have_is_reserved(name: str) -> None:
    """The tenant's role has its database's name, and no role can be called public or none."""
    assert database_name_problem(name) == "is reserved"


def test_a_table_may_have_the_name_of_no_role() -> None:
    """Only databases have roles of their name."""
    assert identifier_problem("public") is None
    assert database_name_problem("public_1") is None
