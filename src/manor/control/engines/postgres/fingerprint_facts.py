"""The catalog queries behind the fingerprint, and the messages in which they are sent.

On a fresh connection most of the time goes into planning: a join, an aggregate or an operator costs more than the rows of a
tenant's database. So there is one plain query per catalog and the rows are put together by ``fingerprint_lines``, which takes
less than half the time of one query that does it all (docs/decisions/0011). What few databases have (members of extensions,
aggregates, enums, partitions) is asked for in a second message, and only where the first one shows that it is there.
Objects below 16384 (``FIRST_NORMAL_OID``) are the server's own; leaving them out by OID makes index scans of scans. Other
numbers that the server's source fixes: collation 100 is ``default``, language 13 is C.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FIRST_NORMAL_OID = 16384
"""Below it OIDs are given by initdb (PostgreSQL source, access/transam.h: FirstNormalObjectId)."""

Rows = list[tuple[Any, ...]]

_SETTINGS = {
    "search_path": "",
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "quote_all_identifiers": "off",
    "standard_conforming_strings": "on",
}
"""All that changes how a definition is printed."""

FIRST = {
    "spaces": "SELECT oid, nspname, nspowner::regrole, nspacl::text[] FROM pg_namespace",
    "extensions": "SELECT oid, extname, extversion, extnamespace::regnamespace FROM pg_extension",
    "relations": """
        SELECT oid, relnamespace, relname, relkind, relowner::regrole, relacl::text[], relpersistence, relrowsecurity,
               relforcerowsecurity, reloptions::text, relreplident, relispartition
        FROM pg_class WHERE oid >= 16384""",
    "columns": """
        SELECT attrelid, attnum, attname, format_type(atttypid, atttypmod), attnotnull, attgenerated, attidentity,
               nullif(nullif(attcollation, 0), 100)::regcollation, attinhcount, attacl::text[]
        FROM pg_attribute WHERE attrelid >= 16384 AND attnum > 0 AND NOT attisdropped""",
    # Printed without the table where no column can be in it: that saves opening the table.
    "defaults": """
        SELECT adrelid, adnum, (
            SELECT CASE attgenerated WHEN '' THEN pg_get_expr(adbin, 0) ELSE pg_get_expr(adbin, adrelid) END
            FROM pg_attribute WHERE attrelid = adrelid AND attnum = adnum)
        FROM pg_attrdef WHERE oid >= 16384""",
    "constraints": """
        SELECT conrelid, nullif(contypid, 0)::regtype, contypid, conname, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE oid >= 16384 AND contype <> 't' AND (contype <> 'n' OR NOT convalidated)""",
    "indexes": """
        SELECT indrelid, indexrelid::regclass, pg_get_indexdef(indexrelid), indisvalid, indisclustered, indisreplident
        FROM pg_index WHERE indexrelid >= 16384""",
    "rules": "SELECT ev_class, rulename, pg_get_ruledef(oid), ev_enabled FROM pg_rewrite WHERE oid >= 16384",
    "triggers": """
        SELECT tgrelid, tgname, tgisinternal, tgfoid::regproc, tgenabled,
               CASE WHEN NOT tgisinternal THEN pg_get_triggerdef(oid) END
        FROM pg_trigger WHERE NOT tgisinternal OR tgenabled <> 'O'""",
    "policies": """
        SELECT polrelid, polname, polcmd, polpermissive, polroles::regrole[]::text, pg_get_expr(polqual, polrelid),
               pg_get_expr(polwithcheck, polrelid)
        FROM pg_policy""",
    "sequences": """
        SELECT seqrelid, format_type(seqtypid, NULL), seqstart, seqincrement, seqmin, seqmax, seqcache, seqcycle
        FROM pg_sequence""",
    "functions": """
        SELECT oid, pronamespace, proname, pg_get_function_identity_arguments(oid), pronargs, prokind, prolang = 13,
               proowner::regrole, proacl::text[], pg_get_function_sqlbody(oid),
               CASE WHEN prokind <> 'a' AND prolang <> 13 THEN pg_get_functiondef(oid) END
        FROM pg_proc WHERE oid >= 16384""",
    "types": """
        SELECT oid, typnamespace, typname, typtype, typrelid, typowner::regrole, typacl::text[],
               CASE typtype WHEN 'd' THEN format_type(typbasetype, typtypmod) END, typnotnull, typdefault
        FROM pg_type WHERE oid >= 16384 AND typtype <> 'b'""",
    "default_grants": """
        SELECT defaclrole::regrole, defaclobjtype, nullif(defaclnamespace, 0)::regnamespace, defaclacl::text[]
        FROM pg_default_acl""",
    "doors": """
        SELECT grantee, grantee::regrole, quote_ident(datname), lower(privilege_type)
        FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba)))
        WHERE datname = current_database() AND grantee <> datdba""",
}
"""Asked of every database."""

SECOND = {
    "members": """
        SELECT classid::regclass, objid FROM pg_depend
        WHERE refclassid = 'pg_extension'::regclass AND refobjid >= 16384 AND deptype = 'e'""",
    # Printing the thousand functions of a large extension would take longer than all the rest.
    "programs": """
        SELECT oid, pg_get_functiondef(oid) FROM pg_proc AS p
        WHERE oid >= 16384 AND prolang = 13 AND prokind <> 'a' AND NOT EXISTS (
            SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e')""",
    "aggregates": """
        SELECT aggfnoid::oid, concat_ws(',', aggkind, aggnumdirectargs, aggtransfn, aggfinalfn, aggcombinefn, aggserialfn,
                   aggdeserialfn, aggmtransfn, aggminvtransfn, aggmfinalfn, aggfinalextra, aggfinalmodify,
                   aggsortop::regoperator, aggtranstype::regtype, agginitval, proparallel)
        FROM pg_aggregate JOIN pg_proc p ON p.oid = aggfnoid WHERE aggfnoid >= 16384""",
    "labels": "SELECT enumtypid, quote_literal(enumlabel) FROM pg_enum ORDER BY enumtypid, enumsortorder",
    "partitions": """
        SELECT oid, pg_get_expr(relpartbound, oid),
               (SELECT string_agg(relid::text, ' in ') FROM pg_partition_ancestors(c.oid) WHERE relid <> c.oid)
        FROM pg_class c WHERE oid >= 16384 AND relispartition AND relkind IN ('r', 'p', 'f')""",
}
"""Asked only of a database that has such a thing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The rows of one database, as the queries give them; those of ``SECOND`` are empty where they were not asked for."""

    spaces: Rows
    extensions: Rows
    relations: Rows
    columns: Rows
    defaults: Rows
    constraints: Rows
    indexes: Rows
    rules: Rows
    triggers: Rows
    policies: Rows
    sequences: Rows
    functions: Rows
    types: Rows
    default_grants: Rows
    doors: Rows
    members: Rows
    programs: Rows
    aggregates: Rows
    labels: Rows
    partitions: Rows


def first_message(before: str, *, in_transaction: bool) -> bytes:
    """The queries of ``FIRST`` behind the statements of ``before``; a session ``in_transaction`` stays in it, as it was."""
    return _message(FIRST, before, in_transaction)


def second_message(found: Sequence[Rows], *, in_transaction: bool) -> bytes | None:
    """What is still to be asked, given the rows of each statement of the first message; None: nothing."""
    rare = _rare(_first(found))
    return _message({name: SECOND[name] for name in rare}, "", in_transaction) if rare else None


def facts_of(found: Sequence[Rows], then: Sequence[Rows]) -> Facts:
    """The rows of both messages, each statement's that returned some."""
    first = _first(found)
    rare = _rare(first)
    second: dict[str, Rows] = {name: [] for name in SECOND}
    return Facts(**first, **(second | dict(zip(rare, then, strict=True))))


def _first(found: Sequence[Rows]) -> dict[str, Rows]:
    return dict(zip(FIRST, found[-len(FIRST) :], strict=True))


def _rare(first: dict[str, Rows]) -> Sequence[str]:
    signs = {
        "members": any(oid >= FIRST_NORMAL_OID for oid, *_ in first["extensions"]),
        "programs": any(row[6] for row in first["functions"]),
        "aggregates": any(row[5] == "a" for row in first["functions"]),
        "labels": any(row[3] == "e" for row in first["types"]),
        "partitions": any(row[11] and row[3] in "rpf" for row in first["relations"]),
    }
    return [name for name, there in signs.items() if there]


def _message(queries: Mapping[str, str], before: str, in_transaction: bool) -> bytes:
    settings = [f"SET LOCAL {name} = '{value}'" for name, value in _SETTINGS.items()]
    # A rollback puts the settings back, and lets go of the locks that reading a definition takes.
    opening = "SAVEPOINT manor_fingerprint" if in_transaction else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    closing = ["ROLLBACK TO manor_fingerprint", "RELEASE manor_fingerprint"] if in_transaction else ["COMMIT"]
    statements = [opening, *settings, *queries.values(), *closing]
    return "; ".join([before, *statements] if before else statements).encode()
