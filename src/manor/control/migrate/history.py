"""What one database still needs, from the chain of migrations and the rows of its ``schema_migrations``. Pure.

Called once per database of a fleet with the same chain, so what depends on the chain alone is worked out once in ``Chain``.

A migration that squashes others counts as applied where all of them were, and is then recorded without being run; where none
was, it is pending; anything between is a problem.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from manor.control.migrate.model import Applied, Migration, ordered, version_key
from manor.errors import Place

VersionKey = tuple[int, ...]

_key = functools.lru_cache(maxsize=65_536)(version_key)


class ProblemCode(enum.StrEnum):
    """Why a release cannot go on in one database."""

    EDITED = "edited"
    UNKNOWN = "unknown"
    """Newer than the whole chain: another release was here."""
    GAP = "gap"
    """Older than the chain's head, and there is no file."""
    OUT_OF_ORDER = "out_of_order"
    SQUASH_PARTIAL = "squash_partial"
    TO_UNKNOWN = "to_unknown"
    TO_OLDER = "to_older"
    NO_DOWN = "no_down"
    NOT_ON_TOP = "not_on_top"
    NOT_KEPT = "not_kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One reason to refuse, about one version."""

    code: ProblemCode
    version: str
    message: str
    hint: str = ""
    place: Place | None = None
    """In the migration's file, where there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Squash:
    """The versions that the migration at ``position`` stands for."""

    position: int
    versions: tuple[str, ...]
    keys: frozenset[VersionKey]


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """Migrations in order with everything that ``pending`` needs of them; their versions must differ."""

    migrations: tuple[Migration, ...]
    checksums: tuple[str, ...]
    keys: tuple[VersionKey, ...]
    spelled: Mapping[str, int]
    """Position by version as written in the file's name: what the rows mostly say too."""
    positions: Mapping[VersionKey, int]
    squashes: tuple[_Squash, ...]

    @classmethod
    def of(cls, migrations: Iterable[Migration]) -> Chain:
        """Prepare ``migrations``, in any order."""
        chain = ordered(migrations)
        keys = tuple(_key(migration.version) for migration in chain)
        return cls(
            migrations=chain,
            checksums=tuple(migration.checksum for migration in chain),
            keys=keys,
            spelled={migration.version: position for position, migration in enumerate(chain)},
            positions={key: position for position, key in enumerate(keys)},
            squashes=tuple(
                _Squash(position=position, versions=m.squashes, keys=frozenset(map(_key, m.squashes)))
                for position, m in enumerate(chain)
                if m.squashes
            ),
        )

    @property
    def head(self) -> str:
        """The newest version; empty where there is none."""
        return self.migrations[-1].version if self.migrations else ""

    def position(self, version: str) -> int | None:
        """Where ``version`` stands in the chain, however it is spelled."""
        found = self.spelled.get(version)
        return found if found is not None else self.positions.get(_key(version))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """What one database needs. Nothing at all may be done while there are ``problems``."""

    migrations: tuple[Migration, ...] = ()
    """To run, in order."""
    recorded: tuple[Migration, ...] = ()
    """Squashes that count as applied: their rows are written and nothing is run."""
    adopted: tuple[Migration, ...] = ()
    """Applied by a tool that keeps no checksums: the rows may be given ours."""
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class _Seen:
    """The rows of one database sorted by what the chain says about them."""

    rows: Mapping[int, Applied]
    """By position in the chain."""
    strangers: Sequence[Applied]
    """Rows without a file."""

    @classmethod
    def of(cls, chain: Chain, applied: Iterable[Applied]) -> _Seen:
        rows: dict[int, Applied] = {}
        strangers: list[Applied] = []
        for row in applied:
            position = chain.position(row.version)
            if position is None:
                strangers.append(row)
            else:
                rows[position] = row
        return cls(rows, strangers)

    def state(self, squash: _Squash) -> _SquashState:
        """How much of what ``squash`` stands for the database has seen."""
        if squash.position in self.rows:
            return _SquashState.APPLIED
        known = {_key(row.version) for row in self.strangers} & squash.keys
        if not known:
            return _SquashState.NOTHING
        return _SquashState.ALL if known == squash.keys else _SquashState.SOME


class _SquashState(enum.Enum):
    APPLIED = enum.auto()
    ALL = enum.auto()
    SOME = enum.auto()
    NOTHING = enum.auto()


def pending(chain: Chain, applied: Iterable[Applied], to: str | None = None, *, allow_out_of_order: bool = False) -> Pending:
    """What a database with the rows ``applied`` needs to reach ``to``, or the chain's head."""
    seen = _Seen.of(chain, applied)
    end = len(chain.migrations)
    if to is not None:
        position = chain.position(to)
        if position is None:
            return Pending(problems=(_to_unknown(chain, to),))
        end = position + 1
    adopted: list[Migration] = []
    problems: list[Problem] = []
    for position, row in seen.rows.items():
        if not row.checksum:
            adopted.append(chain.migrations[position])
        elif row.checksum != chain.checksums[position]:
            problems.append(_edited(chain.migrations[position]))
    squashed = {squash.position: seen.state(squash) for squash in chain.squashes}
    problems.extend(_strangers(chain, seen, squashed))
    recorded = [p for p, state in squashed.items() if state is _SquashState.ALL and p < end]
    skip = {p for p, state in squashed.items() if state in (_SquashState.ALL, _SquashState.SOME)}
    missing = [p for p in range(end) if p not in seen.rows and p not in skip]
    problems.extend(_order(chain, seen, missing, end, to, allow_out_of_order=allow_out_of_order))
    return Pending(
        migrations=tuple(chain.migrations[p] for p in missing),
        recorded=tuple(chain.migrations[p] for p in recorded),
        adopted=tuple(adopted),
        problems=tuple(problems),
    )


def _to_unknown(chain: Chain, to: str) -> Problem:
    key = _key(to)
    by = next((chain.migrations[s.position].version for s in chain.squashes if key in s.keys), "")
    hint = f"it was squashed into {by}" if by else f"the newest is {chain.head}" if chain.head else "there are no migrations"
    return Problem(code=ProblemCode.TO_UNKNOWN, version=to, message=f"there is no migration {to}", hint=hint)


def _edited(migration: Migration) -> Problem:
    return Problem(
        code=ProblemCode.EDITED,
        version=migration.version,
        message=f"{migration.label} was changed after it had been applied",
        hint="put its text back, and write the change as a new migration",
        place=migration.place,
    )


def _strangers(chain: Chain, seen: _Seen, squashed: Mapping[int, _SquashState]) -> Iterator[Problem]:
    """Rows without a file that no squash stands for, and squashes of which only a part was applied."""
    if not seen.strangers:
        return
    for squash in chain.squashes:
        if squashed[squash.position] is _SquashState.SOME:
            yield _partial(chain, seen, squash)
    covered = frozenset[VersionKey]().union(*(squash.keys for squash in chain.squashes))
    oldest = _prehistory(chain, squashed)
    for row in seen.strangers:
        key = _key(row.version)
        if key not in covered and not (oldest is not None and key < oldest):
            yield _stranger(chain, row, key)


def _prehistory(chain: Chain, squashed: Mapping[int, _SquashState]) -> VersionKey | None:
    """Where the chain begins with a squash that this database has, rows older than all that it lists are from squashes before
    it; this is the oldest that it lists."""
    first = chain.squashes[0] if chain.squashes else None
    if first is None or first.position != 0 or squashed[0] not in (_SquashState.APPLIED, _SquashState.ALL):
        return None
    return min(first.keys)


def _partial(chain: Chain, seen: _Seen, squash: _Squash) -> Problem:
    known = {_key(row.version) for row in seen.strangers}
    lacking = ", ".join(version for version in squash.versions if _key(version) not in known)
    migration = chain.migrations[squash.position]
    return Problem(
        code=ProblemCode.SQUASH_PARTIAL,
        version=migration.version,
        message=f"{migration.label} stands for migrations of which {lacking} was never applied here",
        hint="bring this database up to date with a release from before the squash first",
        place=migration.place,
    )


def _stranger(chain: Chain, row: Applied, key: VersionKey) -> Problem:
    if not chain.keys or key > chain.keys[-1]:
        return Problem(
            code=ProblemCode.UNKNOWN,
            version=row.version,
            message=f"{row.version} was applied, which is newer than this release ({chain.head or 'empty'})",
            hint="use the release that has it",
        )
    return Problem(
        code=ProblemCode.GAP,
        version=row.version,
        message=f"{row.version} was applied, but its file is gone",
        hint="put the file back, or name the version on a -- manor:squashes line of the migration that stands for it",
    )


def _order(
    chain: Chain, seen: _Seen, missing: Sequence[int], end: int, to: str | None, *, allow_out_of_order: bool
) -> Iterator[Problem]:
    """Migrations that are older than what was applied, and a ``to`` that is."""
    newest = max(seen.rows, default=-1)
    if to is not None and newest >= end:
        yield Problem(
            code=ProblemCode.TO_OLDER,
            version=to,
            message=f"the database is at {chain.migrations[newest].version}, which is newer than {to}",
            hint="to go back, undo the operation that brought it there",
        )
    if allow_out_of_order:
        return
    for position in missing:
        if position >= newest:
            break
        migration = chain.migrations[position]
        yield Problem(
            code=ProblemCode.OUT_OF_ORDER,
            version=migration.version,
            message=f"{migration.label} is older than {chain.migrations[newest].version}, which was applied",
            hint="give it a new version, or allow it with --allow-out-of-order",
            place=migration.place,
        )
