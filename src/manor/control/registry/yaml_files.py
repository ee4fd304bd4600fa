"""The registry as a YAML file: read it with places, and change the one number in it that Manor ever changes.

Assumes that people and version control own the file: it is edited under a lock, re-read behind the lock, replaced in one step,
and every byte that was not asked for stays. A symbolic link is followed and the file behind it edited.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manor.control.registry.count_edit import set_tenant_count
from manor.control.registry.dbgear_files import DbgearRegistry, is_dbgear_file, read_dbgear
from manor.control.registry.id_format import IdFormat, id_format_problem
from manor.control.registry.model import MAX_TENANTS, Registry
from manor.control.registry.salvage import salvage
from manor.errors import ConflictError, Finding, InputError, NotFoundError, Place
from manor.scan import suggest
from manor.typed_input import check
from manor.yaml_reader import YamlDocument, parse_yaml, read_yaml

LOCK_WAIT_SECONDS = 30.0
_POLL_SECONDS = 0.02
_BOM = "\ufeff"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedRegistry:
    """A registry file as it was read. Only where ``findings`` is empty does ``model`` say all that the file says."""

    document: YamlDocument | DbgearRegistry
    model: Registry | None
    """What could be understood; parts with an error are left out, None if too little is left."""
    findings: tuple[Finding, ...]
    kept: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Of the fixed groups that lost entries: which entries of the file the model's are."""

    def place(self, path: Sequence[str | int] = (), *, key: bool = False) -> Place:
        """The place in the file of a value of ``model``."""
        steps = list(path)
        if len(steps) > 3 and steps[1] in self.kept and isinstance(steps[3], int):
            steps[3] = self.kept[str(steps[1])][steps[3]]
        return self.document.place(steps, key=key)


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantCountChange:
    """What ``add_tenants`` did or, in a dry run, would do."""

    group: str
    before: int
    after: int
    first_id: str
    """Id of the first tenant that is new."""
    last_id: str


Compare = Callable[[LoadedRegistry, LoadedRegistry], None]


def load_registry(path: Path, *, shown_as: str = "") -> LoadedRegistry:
    """Read and check one registry file, or what DBGear's ``tenant.yaml`` or ``environ.yaml`` says instead of one.

    ``shown_as`` is what places call it. Raises ``InputError`` if it is not YAML at all; everything else that is wrong with it
    is a finding.
    """
    if is_dbgear_file(path):
        return _check_dbgear(read_dbgear(path, shown_as=shown_as))
    return check_registry(read_yaml(path, shown_as=shown_as))


def _check_dbgear(read: DbgearRegistry) -> LoadedRegistry:
    model, problems = check(Registry, read.value, read)
    return LoadedRegistry(document=read, model=model, findings=(*read.findings, *(p.finding for p in problems)))


def check_registry(document: YamlDocument) -> LoadedRegistry:
    """``load_registry`` for a document at hand."""
    model, problems = check(Registry, document.value, document)
    kept: Mapping[str, tuple[int, ...]] = {}
    if model is None:
        model, kept = salvage(document.value, problems)
    return LoadedRegistry(document=document, model=model, findings=tuple(p.finding for p in problems), kept=kept)


def add_tenants(
    path: Path,
    group: str,
    count: int,
    *,
    dry_run: bool = False,
    shown_as: str = "",
    lock_wait_seconds: float = LOCK_WAIT_SECONDS,
    compare: Compare | None = None,
) -> TenantCountChange:
    """Raise ``tenant_count`` of ``group`` by ``count``; two callers at once both count.

    ``compare`` gets the registry before and after, and raises what should keep the change from being written. Raises
    ``InputError`` (bad count, no number there, the file cannot be read or written), ``NotFoundError`` (no such group),
    ``RefusedError`` (the value is shared through an anchor) or ``ConflictError`` (the lock is held for too long).
    """
    if count < 1:
        raise InputError(f"the number of tenants to add must be at least 1, found {count}")
    shown = shown_as or str(path)
    try:
        real = Path(os.path.realpath(path, strict=True))
        if dry_run:
            return _change(_read_text(real, shown), group, count, shown, compare)[0]
        with _locked(real, lock_wait_seconds):
            text = _read_text(real, shown)
            change, edited = _change(text, group, count, shown, compare)
            _replace(real, edited)
            return change
    except OSError as error:
        raise InputError(f"the registry cannot be edited: {error.strerror or error}", place=Place(shown)) from error


def _read_text(path: Path, shown: str) -> str:
    read_yaml(path, shown_as=shown)
    return path.read_bytes().decode()


def _change(text: str, group: str, count: int, shown: str, compare: Compare | None) -> tuple[TenantCountChange, str]:
    mark, body = (_BOM, text[1:]) if text.startswith(_BOM) else ("", text)
    document = parse_yaml(body, shown)
    values = _tenant_group(document, group)
    place = document.place(("database_groups", group, "tenant_count"))
    before = values.get("tenant_count", 0)
    if isinstance(before, bool) or not isinstance(before, int) or before < 0:
        raise InputError("tenant_count must be a whole number, so nothing can be added to it", place=place)
    after = before + count
    if after > MAX_TENANTS:
        raise InputError(
            f"{group} would have {after:,} tenants, {MAX_TENANTS:,} are allowed", place=place, hint="begin another group"
        )
    first_id, last_id = _new_ids(document, group, values, before, after)
    change = TenantCountChange(group=group, before=before, after=after, first_id=first_id, last_id=last_id)
    edited = set_tenant_count(body, group, after, file=shown)
    if compare is not None:
        compare(check_registry(document), check_registry(parse_yaml(edited, shown)))
    return change, mark + edited


def _tenant_group(document: YamlDocument, name: str) -> dict[str, Any]:
    groups = document.value.get("database_groups") if isinstance(document.value, dict) else None
    groups = groups if isinstance(groups, dict) else {}
    tenant_groups = [key for key, value in groups.items() if isinstance(value, dict) and value.get("type") == "tenant_group"]
    if name in tenant_groups:
        found: dict[str, Any] = groups[name]
        return found
    if name in groups:
        raise InputError(
            f"{name} is not a tenant group, so it has no tenant_count",
            place=document.place(("database_groups", name), key=True),
            hint="add an entry to its databases by hand",
        )
    raise NotFoundError(f"there is no group {name!r}", place=Place(document.file), hint=suggest(name, tenant_groups))


def _new_ids(document: YamlDocument, group: str, values: dict[str, Any], before: int, after: int) -> tuple[str, str]:
    pattern, start = values.get("tenant_id_format", "{:03d}"), values.get("tenant_id_start", 1)
    problem = id_format_problem(pattern) if isinstance(pattern, str) else "must be text"
    if problem:
        raise InputError(f"tenant_id_format {problem}", place=document.place(("database_groups", group, "tenant_id_format")))
    if isinstance(start, bool) or not isinstance(start, int) or start < 0:
        raise InputError(
            "tenant_id_start must be a whole number", place=document.place(("database_groups", group, "tenant_id_start"))
        )
    ids = IdFormat.parse(pattern)
    return ids.format(start + before), ids.format(start + after - 1)


@contextlib.contextmanager
def _locked(path: Path, wait_seconds: float) -> Iterator[None]:
    """Hold the lock file beside ``path``; it is removed again, and a lock on a removed file does not count."""
    lock = path.with_name(f".{path.name}.lock")
    deadline = time.monotonic() + wait_seconds
    while (descriptor := _try_lock(lock)) is None:
        if time.monotonic() >= deadline:
            raise ConflictError(
                f"somebody else has been editing the registry for {wait_seconds:g} s",
                place=Place(str(path)),
                hint="try again when the other command has ended",
            )
        time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def _try_lock(lock: Path) -> int | None:
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held, found = os.fstat(descriptor), lock.stat()
    except OSError as error:
        os.close(descriptor)
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.ENOENT):
            return None
        raise
    if (held.st_dev, held.st_ino) == (found.st_dev, found.st_ino):
        return descriptor
    os.close(descriptor)
    return None


def _replace(path: Path, text: str) -> None:
    """Write beside the file and rename over it: whoever reads, and whatever dies, sees the old file or the new one."""
    temporary = path.with_name(f".{path.name}.new")
    facts = path.stat()
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode())
            file.flush()
            if (facts.st_uid, facts.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), facts.st_uid, facts.st_gid)
            os.fchmod(file.fileno(), facts.st_mode & 0o7777)
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
