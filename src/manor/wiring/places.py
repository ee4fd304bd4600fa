"""Where the copies of a workplace are: backups, base backups and archives, tenants' objects; and what is done with them by the
clock. Nothing is contacted here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from manor.wiring.servers import embedded_server, program_finder
from manor.wiring.workplace import STATE_FOLDER, Workplace

if TYPE_CHECKING:
    from manor.control.backup.schedule import Schedule
    from manor.control.engines.side.pgbackrest import PgBackRest
    from manor.control.operations.schedules import Job
    from manor.control.rollout.backups.vault import BackupVault
    from manor.control.rollout.bases.place import BasePlace
    from manor.control.rollout.erasure.places import Surroundings
    from manor.storage.store import Store


def base_place(workplace: Workplace, location: str | None = None) -> BasePlace:
    """Where base backups, archives of WAL and side instances of this environment are: beside the backups, see ``open_vault``.
    Nothing is made yet; the embedded server must have been."""
    from manor.control.engines.embedded.archiving import EmbeddedSwitch
    from manor.control.engines.side.servers import PostgresSides
    from manor.control.rollout.bases.archive import WalArchive
    from manor.control.rollout.bases.place import BasePlace
    from manor.storage.opening import open_store

    project, environment = workplace.project, workplace.environment
    store = _backup_store(workplace, location)
    archives, sides, switches = {}, {}, {}
    for deployment in environment.deployments:
        name = deployment.name
        sides[name] = PostgresSides(
            project=project.folder,
            environment=os.environ,
            embedded=deployment.embedded,
            programs=program_finder(deployment.url or ""),
        )
        archives[name] = WalArchive(store=store, prefix=f"wal/{name}")
        if deployment.embedded:
            archives[name] = WalArchive(store=open_store(embedded_server(project, environment).archive_folder))
            switches[name] = EmbeddedSwitch(
                state=workplace.state,
                forced=environment.settings.embedded.archive,
                server=lambda: embedded_server(project, environment),
            )
    return BasePlace(store=store, archives=archives, sides=sides, switches=switches, repositories=_repositories(workplace))


def _repositories(workplace: Workplace) -> dict[str, PgBackRest]:
    """By deployment, where ``environ.yaml`` names a stanza."""
    from manor.control.engines.side.pgbackrest import PgBackRest

    folder = workplace.project.folder
    return {
        server: PgBackRest(
            server=server,
            stanza=named.stanza,
            config=str(folder / named.config) if named.config else None,
            project=folder,
            environment=os.environ,
        )
        for server, named in workplace.environment.settings.backup.pgbackrest.items()
    }


def open_vault(workplace: Workplace, location: str | None = None, *, encrypt: bool | None = None) -> BackupVault:
    """The backups at ``location`` (a relative folder counts from the current one), else where ``environ.yaml`` says (from the
    project), else in ``.manor/backups``. Nothing is contacted. Raises ``InputError`` for a location that cannot be used."""
    from manor.control.rollout.backups.vault import BackupVault

    settings = workplace.environment.settings.backup
    return BackupVault(_backup_store(workplace, location), encrypt=settings.encrypt if encrypt is None else encrypt)


def _backup_store(workplace: Workplace, location: str | None) -> Store:
    from manor.storage.opening import open_store

    if location is not None:
        return open_store(location)
    configured = workplace.environment.settings.backup.location
    return open_store(configured or f"{STATE_FOLDER}/backups", base=workplace.project.folder)


def scheduled(workplace: Workplace) -> tuple[list[Schedule], Mapping[str, Job]]:
    """The schedules of the environment, and what each of them does. Nothing is contacted."""
    from manor.control.operations.erase import EraseRequest
    from manor.control.operations.scheduled_jobs import Ground, jobs_of, schedules_of
    from manor.wiring.runtimes import catalog_server

    settings = workplace.environment.settings
    erasure = EraseRequest(
        around=erasure_surroundings(workplace),
        open_vault=lambda location: open_vault(workplace, location, encrypt=False),
        keep_days=settings.backup.keep_days,
        lock_wait_seconds=float(settings.lock_wait_seconds),
    )
    ground = Ground(
        project=workplace.project.folder,
        vault=open_vault(workplace),
        bases=partial(base_place, workplace),
        catalog_home=partial(catalog_server, workplace),
        settings=settings.backup,
        erasure=erasure,
    )
    return schedules_of(settings), jobs_of(ground)


def erasure_surroundings(workplace: Workplace) -> Surroundings:
    """Where the backups and objects of tenants are. Nothing is contacted."""
    from manor.control.rollout.erasure.places import Surroundings
    from manor.storage.opening import open_store

    def open_it(location: str) -> Store:
        return open_store(location, base=workplace.project.folder)

    objects = workplace.environment.settings.erasure.storage
    stanzas = {server: named.stanza for server, named in workplace.environment.settings.backup.pgbackrest.items()}
    return Surroundings(vault=open_vault(workplace), open_store=open_it, objects=objects, stanzas=stanzas)
