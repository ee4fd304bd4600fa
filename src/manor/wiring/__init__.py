"""Puts concrete drivers behind the ports: the only package that knows them all.

``workplace`` is where a command works, ``servers``, ``places`` and ``sources`` what there is, ``runtimes`` what commands act
through.
Nothing is opened at import; vendors' libraries and asyncio are imported when a command needs them.
"""

from manor.wiring.places import base_place, erasure_surroundings, open_vault, scheduled
from manor.wiring.runtimes import catalog_server, inspect_servers, look_runtime, open_recovery, open_runtime, open_worker_engine
from manor.wiring.servers import embedded_server, program_finder, psql_command, sweep_sides, template_examiner
from manor.wiring.sources import open_source
from manor.wiring.workplace import (
    ANCHOR_FILE,
    STATE_FOLDER,
    TOMBSTONE_FILE,
    Workplace,
    current_actor,
    new_operation_id,
    open_key_ring,
    open_secrets,
)

__all__ = [
    "ANCHOR_FILE",
    "STATE_FOLDER",
    "TOMBSTONE_FILE",
    "Workplace",
    "base_place",
    "catalog_server",
    "current_actor",
    "embedded_server",
    "erasure_surroundings",
    "inspect_servers",
    "look_runtime",
    "new_operation_id",
    "open_key_ring",
    "open_recovery",
    "open_runtime",
    "open_secrets",
    "open_source",
    "open_vault",
    "open_worker_engine",
    "program_finder",
    "psql_command",
    "scheduled",
    "sweep_sides",
    "template_examiner",
]
