"""What an administrator's login must be allowed to do on a server, looked at before anything is made there. Pure."""

from __future__ import annotations

from manor.control.engines.driver import ServerFacts
from manor.errors import Code, EngineError


def missing_rights(facts: ServerFacts) -> list[str]:
    """The attributes that the login lacks, in the server's words."""
    needed = (("CREATEDB", facts.can_create_databases), ("CREATEROLE", facts.can_create_roles))
    return [name for name, has in needed if not has]


def rights_hint(facts: ServerFacts) -> str:
    """The statement that gives them."""
    return f"ALTER ROLE {facts.user} {' '.join(missing_rights(facts))}"


def require_rights(server: str, facts: ServerFacts) -> None:
    """Raise ``EngineError`` with code ``denied`` for a login that lacks one."""
    missing = missing_rights(facts)
    if missing:
        raise EngineError(
            f"server {server}: {facts.user} lacks {' and '.join(missing)}", hint=rights_hint(facts), code=Code.DENIED
        )
