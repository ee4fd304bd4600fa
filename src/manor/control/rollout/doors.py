"""What tenants' roles may, compared with what they should: one query per server for all of them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from manor.control.catalog.records import DatabaseRecord
from manor.control.engines.driver import RoleFault, ServerDriver
from manor.control.rollout.retry import retrying
from manor.errors import Code, EngineError, ManorError


@dataclass(frozen=True, slots=True)
class Doors:
    """What was seen of the roles of recorded databases."""

    faults: Mapping[str, Mapping[str, RoleFault]]
    """By server and role."""
    unseen: Mapping[str, ManorError]
    """By server, why nobody could look."""

    def fault_of(self, record: DatabaseRecord) -> RoleFault | None:
        """What is wrong with one tenant's role. Raises what kept us from looking."""
        if record.server in self.unseen:
            raise self.unseen[record.server]
        return self.faults.get(record.server, {}).get(record.role)

    def explain(self, record: DatabaseRecord, error: ManorError) -> ManorError:
        """Why a tenant's own role could not get in: what is wrong with the role, where that is known."""
        fault = self.faults.get(record.server, {}).get(record.role)
        if fault is None:
            return error
        return EngineError(f"database {record.database}: {fault.message} ({error})", hint=fault.hint, code=Code.DRIFT)


async def look_at_doors(servers: Mapping[str, ServerDriver], records: Iterable[DatabaseRecord]) -> Doors:
    """Look at the roles of ``records`` on those of ``servers`` that hold any."""
    by_server: dict[str, dict[str, str]] = {}
    closed: set[tuple[str, str]] = set()
    for record in records:
        by_server.setdefault(record.server, {})[record.role] = record.database
        if not record.is_active:
            closed.add((record.server, record.role))
    faults: dict[str, Mapping[str, RoleFault]] = {}
    unseen: dict[str, ManorError] = {}
    for name in by_server.keys() & servers.keys():
        shut = [role for role in by_server[name] if (name, role) in closed]
        look = functools.partial(servers[name].role_faults, by_server[name], closed=shut)
        try:
            faults[name] = await retrying(look, attempts=2)
        except ManorError as error:
            unseen[name] = error
    return Doors(faults, unseen)
