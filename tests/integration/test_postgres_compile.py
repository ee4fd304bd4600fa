"""The statements of ``engines.postgres`` on real servers: schemas are made, rows arrive, the fingerprint sees each change."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import pq

from manor.control.engines.driver import IsolatedColumn
from manor.control.engines.postgres import compile as ddl
from manor.control.engines.postgres import fingerprint, values
from manor.control.engines.postgres.fingerprint_facts import facts_of, first_message, second_message
from manor.control.engines.postgres.isolation import compile_isolation, placeholder
from manor.control.templates.model import BoundDataset, Column, ForeignKey, Index, Schema, Sql, Table, Trigger, View

GROUP = "manor_tenant"
ADMIN = "fleet_admin"
_Connection = psycopg.Connection[tuple[Any, ...]]


class Server:
    """A private server on a Unix socket; its administrator is no superuser."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs, self.folder = programs, folder
        account: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        self._account = account

    def start(self) -> None:
        options = f"-c fsync=off -c listen_addresses= -k {self.folder}"
        self._run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self._run("pg_ctl", "start", "-w", "-l", f"{self.folder}/log", "-o", options)
        with self.connect("postgres", "postgres") as connection:
            connection.execute(f"CREATE ROLE {ADMIN} LOGIN CREATEDB CREATEROLE")
            connection.execute(f"CREATE ROLE {GROUP}")
            connection.execute("CREATE ROLE somebody")
            connection.execute(f"GRANT somebody TO {ADMIN}")

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "-m", "immediate")

    def connect(self, database: str, user: str = ADMIN) -> _Connection:
        return psycopg.connect(host=str(self.folder), user=user, dbname=database, autocommit=True)

    def create(self, database: str) -> _Connection:
        with self.connect("postgres") as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
            connection.execute(f'CREATE DATABASE "{database}" TEMPLATE template0')
        return self.connect(database)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.programs / program), "-D", f"{self.folder}/data", *arguments]
        with (self.folder / "output").open("ab") as output:
            subprocess.run(command, check=True, cwd=self.folder, stdout=output, stderr=output, **self._account)


@pytest.fixture(scope="module", params=[16, 18], ids=["16", "18"])
def server(request: pytest.FixtureRequest, bundled_programs: Callable[[int], Path]) -> Iterator[Server]:
    """Both servers of the wheel: PostgreSQL 16 and 18."""
    folder = Path(tempfile.mkdtemp(prefix="manor-", dir="/tmp"))
    folder.chmod(0o777)
    made = Server(bundled_programs(request.param), folder)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder)


def _table(name: str, *columns: Column, **parts: Any) -> Table:
    return Table(schema="main", name=name, columns=columns, **parts)


def _column(name: str, type_: str, **parts: Any) -> Column:
    return Column(name=name, type=type_, **parts)


ID = _column("id", "INT AUTO_INCREMENT", nullable=False, primary_key=1)
TENANT = _column("tenant_id", "VARCHAR(50)", nullable=False)
CREATED = _column("created_at", "TIMESTAMP", default="CURRENT_TIMESTAMP")
TENANT_INDEX = Index(name="idx_tenant_id", columns=("tenant_id",))

REFERENCE = Schema(
    tables=(
        _table(
            "users",
            ID,
            TENANT,
            _column("username", "VARCHAR(255)", nullable=False, comment="ログイン名"),
            _column("email", "VARCHAR(255)"),
            _column("role", "ENUM('admin','operator','user')", nullable=False, default="'user'"),
            CREATED,
            indexes=(TENANT_INDEX, Index(name="idx_email", columns=("email",), unique=True)),
            comment="利用者",
        ),
        _table("products", ID, TENANT, _column("price", "DECIMAL(10,2)", default="0"), _column("tags", "TEXT[]")),
        _table(
            "orders",
            ID,
            TENANT,
            _column("user_id", "INT", nullable=False),
            _column("product_id", "INT"),
            _column("quantity", "INT UNSIGNED", default="1"),
            _column("unit_price", "DECIMAL(10,2)", default="0"),
            _column("total", "DECIMAL(12,2)", expression="`quantity` * `unit_price`"),
            _column("updated_at", "DATETIME", default="CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP"),
            indexes=(TENANT_INDEX,),
            foreign_keys=(
                ForeignKey(name="fk_user", columns=("user_id",), target_table="users", target_columns=("id",)),
                ForeignKey(
                    name="fk_product",
                    columns=("product_id",),
                    target_table="products",
                    target_columns=("id",),
                    on_delete="SET NULL",
                ),
            ),
        ),
        _table("settings", _column("key", "VARCHAR(100)", primary_key=1, nullable=False), _column("value", "JSON")),
        _table("audit_logs", ID, TENANT, _column("action", "TEXT", nullable=False), _column("details", "JSON"), CREATED),
        _table("enterprise_features", ID, TENANT, _column("enabled", "TINYINT(1)", default="1"), _column("config", "JSON")),
        _table("compliance_data", _column("id", "UUID", primary_key=1, default="UUID()"), _column("payload", "LONGBLOB")),
        _table("global_settings", ID, _column("flags", "SET('a','b')", default="'a'")),
    ),
    views=(
        View(schema="main", name="admin_emails", select="SELECT `email` FROM `admins` WHERE IFNULL(email, '') <> \"\""),
        View(schema="main", name="admins", select="SELECT id, email FROM users WHERE role = 'admin'", comment="view"),
    ),
    triggers=(
        Trigger(
            schema="main",
            name="user_audit",
            table="users",
            timing="AFTER",
            event="INSERT",
            condition='NEW.role = "admin"',
            body="INSERT INTO audit_logs (tenant_id, action) VALUES (NEW.tenant_id, 'INSERT');",
        ),
    ),
    sql=(
        (
            "schema.sql",
            "CREATE TYPE mood AS ENUM ('good', '100 % bad');\n"
            "CREATE DOMAIN short AS text CONSTRAINT is_short CHECK (length(VALUE) < 9);\n"
            "CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS $$ SELECT n * 2 $$;\n"
            "CREATE TABLE notes (id serial PRIMARY KEY, mood mood, title short, since date DEFAULT '2024-02-01');\n"
            "CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');\n"
            "ALTER TABLE notes ENABLE ROW LEVEL SECURITY;\n"
            "CREATE POLICY everybody ON notes USING (true);\n",
        ),
    ),
)
ISOLATED = ("users", "orders", "audit_logs")


def _isolation(value: str) -> list[IsolatedColumn]:
    return [IsolatedColumn(table=table, column="tenant_id", value=value) for table in ISOLATED]


def _build(connection: _Connection, schema: Schema, isolation: Sequence[IsolatedColumn] = ()) -> None:
    statements = ddl.compile_schema(schema, isolation, version_number=connection.info.server_version)
    for statement in [*statements, *ddl.grants(GROUP)]:
        connection.execute(statement.encode())


def _describe(connection: _Connection, isolation: Sequence[IsolatedColumn]) -> fingerprint.Description:
    inside = connection.info.transaction_status == pq.TransactionStatus.INTRANS
    found = _ask(connection, first_message("", in_transaction=inside))
    more = second_message(found, in_transaction=inside)
    return fingerprint.description_of(facts_of(found, _ask(connection, more) if more else []), isolation)


def _ask(connection: _Connection, message: bytes) -> list[list[tuple[Any, ...]]]:
    cursor = connection.execute(message)
    found = [cursor.fetchall()] if cursor.description else []
    while cursor.nextset():
        found += [cursor.fetchall()] if cursor.description else []
    return found


def _fingerprint(connection: _Connection, isolation: Sequence[IsolatedColumn]) -> tuple[str, bool]:
    found = _describe(connection, isolation)
    return found.fingerprint, found.isolated


def _lines(connection: _Connection, isolation: Sequence[IsolatedColumn]) -> list[str]:
    return _describe(connection, isolation).lines


def _rows(connection: _Connection, query: str) -> list[tuple[Any, ...]]:
    return connection.execute(query.encode()).fetchall()


def _load(connection: _Connection, schema: Schema, *datasets: BoundDataset) -> None:
    for dataset in datasets:
        table = schema.table(dataset.table)
        assert table is not None
        for statement, parameters in values.insert_statement(table, dataset):
            connection.execute(statement.encode(), parameters)
    for statement in ddl.sequence_resets(schema, datasets):
        connection.execute(statement.encode())


def test_the_reference_tables_are_made_and_used(server: Server) -> None:
    """The reference's tables take rows; sequences go on behind given ids; the other tenant's value is refused."""
    with server.create("used") as connection:
        _build(connection, REFERENCE, _isolation("it's \\ acme"))
        users = BoundDataset(
            table="users",
            columns=("id", "username", "email", "role", "created_at"),
            rows=((1, "admin", "a@x", "admin", "2024-01-01T00:00:00Z"), (7, "user", None, "user", Sql("now()"))),
        )
        orders = BoundDataset(
            table="orders", columns=("user_id", "quantity", "unit_price"), rows=((1, 3, Decimal("1.10")), (7, 2**32, 2))
        )
        _load(connection, REFERENCE, users, orders)
        assert _rows(connection, "SELECT tenant_id, total FROM orders ORDER BY id LIMIT 1") == [
            ("it's \\ acme", Decimal("3.30"))
        ]
        assert _rows(connection, "SELECT action, tenant_id FROM audit_logs") == [("INSERT", "it's \\ acme")]
        assert _rows(connection, "SELECT email FROM admin_emails") == [("a@x",)]
        assert _rows(connection, "INSERT INTO users (username) VALUES ('next') RETURNING id") == [(8,)]
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute("INSERT INTO users (username, tenant_id) VALUES ('x', 'other')")
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute("UPDATE users SET role = 'king'")


def test_on_update_sets_the_time_only_for_a_change(server: Server) -> None:
    """As in MySQL: not when nothing changes, and not over a value that the update gives."""
    column = _column("at", "DATETIME", default="CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP")
    schema = Schema(tables=(_table("t", ID, _column("a", "INT"), _column("place", "point"), column),))
    with server.create("touched") as connection:
        _build(connection, schema)
        connection.execute("INSERT INTO t (a, at) VALUES (1, '2000-01-01')")
        connection.execute("UPDATE t SET a = 1")
        assert _rows(connection, "SELECT at::date::text FROM t") == [("2000-01-01",)]
        connection.execute("UPDATE t SET a = 2, at = '2001-01-01'")
        assert _rows(connection, "SELECT at::date::text FROM t") == [("2001-01-01",)]
        connection.execute("UPDATE t SET a = 3")
        assert _rows(connection, "SELECT at > now() - interval '1 day' FROM t") == [(True,)]


NASTY = Schema(
    tables=(
        _table(
            'select "x"',
            _column("order", "BIGINT UNSIGNED", auto_increment=True, primary_key=1, nullable=False),
            _column('a"b', "VARCHAR(10)", default='"it\'s"', comment="it's"),
            _column("100%", "INT", default="b'101'"),
            _column("user", "BIGINT UNSIGNED"),
            _column("full", "TEXT", expression="CONCAT(`a\"b`, ' ', `100%`)"),
            _column("kind", "ENUM('it''s','back\\\\slash','a,b')", default="'a,b'"),
            _column("flags", "SET('x','y')", default="'x,y'"),
            _column("made", "DATETIME(6)", default="NOW(6)"),
            foreign_keys=(
                ForeignKey(
                    name="circle", columns=("user",), target_table="user", target_columns=("group",), initially_deferred=True
                ),
            ),
            indexes=(
                Index(name="i" * 63, columns=("order",), include=("user",)),
                Index(name="same", columns=('a"b',), type="FULLTEXT"),
                Index(name="part", columns=("100%",), condition='`a"b` <> "x" AND "order" > 1', unique=True),
                Index(name="by_name", columns=("full",)),
            ),
        ),
        _table(
            "user",
            _column("group", "BIGINT UNSIGNED", auto_increment=True, primary_key=1, nullable=False),
            _column("back", "BIGINT UNSIGNED", nullable=False),
            _column("data", "JSON"),
            foreign_keys=(ForeignKey(name="circle", columns=("back",), target_table='select "x"', target_columns=("order",)),),
            indexes=(Index(name="same", columns=("data",), type="GIN"), Index(name="h", columns=("data",), type="HASH")),
        ),
        _table("e" * 63, _column("c" * 63, "ENUM('a')"), _column("c" * 62 + "d", "ENUM('a')", default="'a'")),
    ),
    views=(
        View(schema="main", name="view", select='SELECT * FROM "on view base" -- end'),
        View(schema="main", name="on view base", select='WITH x AS (SELECT "group" FROM "user") SELECT * FROM x;'),
    ),
    triggers=(
        Trigger(
            schema="main",
            name="guard",
            table="user",
            timing="BEFORE",
            event="UPDATE, DELETE",
            condition='OLD."group" = 1 AND "a" <> "b"',
            body="SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no';",
        ),
        Trigger(
            schema="main",
            name="guard",
            table='select "x"',
            timing="BEFORE",
            event="INSERT",
            body="BEGIN\n  SET NEW.`100%` = 1;\nEND",
        ),
    ),
)


def test_a_nasty_schema_is_made(server: Server) -> None:
    """Reserved words, quotes, circles, long names and MySQL spellings survive, and do what they say."""
    with server.create("nasty") as connection:
        _build(connection, NASTY)
        with connection.transaction():
            rows = _rows(
                connection, 'INSERT INTO "select ""x""" ("user") VALUES (1) RETURNING "order", "full", kind, flags, "100%"'
            )
            connection.execute('INSERT INTO "user" (back) VALUES (1)')
        assert rows == [(1, "it's 1", "a,b", ["x", "y"], 1)]
        with pytest.raises(psycopg.Error, match="no") as caught:
            connection.execute('DELETE FROM "user"')
        assert caught.value.sqlstate == "45000"
        assert _rows(connection, 'SELECT * FROM "view"') == [(1,)]


def test_vectors(server: Server) -> None:
    """pgvector's type brings its extension (made by the superuser, as the wheel's is not trusted) and takes lists."""
    table = _table("items", ID, _column("v", "vector(3)"), indexes=(Index(name="near", columns=("v",), type="HNSW"),))
    with server.create("vectors") as connection:
        connection.close()
    with server.connect("vectors", "postgres") as connection:
        if not _rows(connection, "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'"):
            return  # the wheel has pgvector for 18 only
        _build(connection, Schema(tables=(table,)))
        _load(
            connection, Schema(tables=(table,)), BoundDataset(table="items", columns=("v",), rows=(([1, 2, Decimal("0.5")],),))
        )
        assert _rows(connection, "SELECT v::text FROM items") == [("[1,2,0.5]",)]
        assert len(_lines(connection, [])) < 40


EXACT: list[tuple[str, Any, str]] = [
    ("VARCHAR(5)", "日本\\n'", "日本\\n'"),
    ("BIGINT UNSIGNED", 2**64 - 1, str(2**64 - 1)),
    ("DECIMAL(38,10)", Decimal("12345678901234567890.0123456789"), "12345678901234567890.0123456789"),
    ("TINYINT(1)", 1, "true"),
    ("BIT(4)", "0101", "0101"),
    ("DATETIME", "2024-01-01T09:00:00Z", "2024-01-01 09:00:00"),
    ("TIMESTAMP", "2024-01-01T09:00:00+09:00", "2024-01-01 00:00:00+00"),
    ("DATE", "2024-02-29", "2024-02-29"),
    ("TIME", "12:30", "12:30:00"),
    ("JSON", {"a": Decimal("0.10"), "b": "日"}, '{"a": 0.10, "b": "日"}'),
    ("JSON", "x", '"x"'),
    ("BLOB", b"\x00\xff", "\\x00ff"),
    ("UUID", "6F9619FF-8B86-D011-B42D-00CF4FC964FF", "6f9619ff-8b86-d011-b42d-00cf4fc964ff"),
    ("TEXT[]", ["a,b", 'q"\\', None, ""], '{"a,b","q\\"\\\\",NULL,""}'),
    ("BLOB[]", [b"\x00", b"\\"], '{"\\\\x00","\\\\x5c"}'),
    ("JSONB[]", [{"a": [1]}], '{"{\\"a\\": [1]}"}'),
    ("INT[]", [[1, 2], [3, 4]], "{{1,2},{3,4}}"),
    ("SET('a','b')", "a,b", "{a,b}"),
    ("CIDR", "10.0.0.0/8", "10.0.0.0/8"),
    ("YEAR", 2024, "2024"),
]


@pytest.mark.parametrize("by_copy", [False, True], ids=["insert", "copy"])
def test_every_kind_of_value_arrives_exactly(server: Server, by_copy: bool) -> None:
    """What PostgreSQL shows is what was written, by INSERT and by COPY."""
    columns = tuple(_column(f"c{number}", type_) for number, (type_, _, _) in enumerate(EXACT))
    table = _table("t", *columns)
    dataset = BoundDataset(
        table="t", columns=tuple(c.name for c in columns), rows=(tuple(cell for _, cell, _ in EXACT), (None,) * len(EXACT))
    )
    with server.create("exact") as connection:
        connection.execute("SET timezone = 'UTC'")
        _build(connection, Schema(tables=(table,)))
        if by_copy:
            with connection.cursor() as cursor, cursor.copy(values.copy_statement(table, dataset).encode()) as copy:
                for line in values.copy_lines(table, dataset):
                    copy.write_row(line)
        else:
            _load(connection, Schema(tables=(table,)), dataset)
        shown = ", ".join(f"{c.name}::text" for c in columns)
        assert _rows(connection, f"SELECT {shown} FROM t") == [tuple(text for _, _, text in EXACT), (None,) * len(EXACT)]


def test_a_text_that_is_too_long_is_refused_not_cut(server: Server) -> None:
    """A cast would cut it in silence."""
    table = _table("t", _column("c", "VARCHAR(3)"))
    with server.create("too_long") as connection:
        _build(connection, Schema(tables=(table,)))
        with pytest.raises(psycopg.errors.StringDataRightTruncation):
            _load(connection, Schema(tables=(table,)), BoundDataset(table="t", columns=("c",), rows=(("four",),)))


def test_identities_of_a_schema_sql(server: Server) -> None:
    """GENERATED ALWAYS takes explicit numbers when rows bring them, and goes on behind them."""
    text = "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamp)"
    known = _table("t", _column("id", "INT", auto_increment=True), _column("at", "TIMESTAMP"))
    schema = Schema(sql=(("schema.sql", text),), sql_tables=(known,))
    with server.create("always") as connection:
        connection.execute("SET timezone = 'Asia/Tokyo'")
        _build(connection, schema)
        _load(connection, schema, BoundDataset(table="t", columns=("id", "at"), rows=((9, "2024-01-01T00:00:00Z"),)))
        assert _rows(connection, "SELECT at::text FROM t") == [("2024-01-01 00:00:00",)]
        assert _rows(connection, "INSERT INTO t DEFAULT VALUES RETURNING id") == [(10,)]


TENANTS = ["acme", 'it\'s \\ a "test"\nof {names} %s', ":manor-tenant:", "日本"]


def test_tenants_of_one_template_have_one_fingerprint(server: Server) -> None:
    """Golden and tenants agree, whatever the value, the session's settings and the role; rows and sequences do not count."""
    seen = set()
    for value in TENANTS:
        with server.create("tenant") as connection:
            connection.execute("SET search_path = pg_catalog" if value == "acme" else "SET timezone = 'Asia/Tokyo'")
            connection.execute("SET datestyle = 'German'")
            connection.execute("RESET search_path")
            _build(connection, REFERENCE, _isolation(placeholder("text")))
            for column in _isolation(value):
                connection.execute(compile_isolation(column).encode())
            connection.execute("INSERT INTO global_settings DEFAULT VALUES")
            connection.execute("CREATE TABLE schema_migrations (version text PRIMARY KEY, at timestamptz DEFAULT now())")
            if value == "acme":
                connection.execute("SET search_path = ''")
            seen.add(_fingerprint(connection, _isolation(value)))
            assert _rows(connection, "SHOW datestyle") == [("German, DMY",)]
            with server.connect("tenant", "postgres") as other:
                seen.add(_fingerprint(other, _isolation(value)))
    assert len(seen) == 1
    assert seen.pop()[1] is True


def test_uuid_and_char_tenants(server: Server) -> None:
    """Isolation columns of other types prove their value too, in any spelling that means the same."""
    table = _table("t", ID, _column("u", "UUID"), _column("c", "CHAR(40)"))
    spellings = {
        "u": ("6F9619FF8B86D011B42D00CF4FC964FF", placeholder("uuid")),
        "c": ("x", placeholder("text")),
    }
    seen = set()
    for which in (0, 1):
        isolation = [IsolatedColumn(table="t", column=name, value=both[which]) for name, both in spellings.items()]
        with server.create("typed") as connection:
            _build(connection, Schema(tables=(table,)), isolation)
            seen.add(_fingerprint(connection, isolation))
    assert len(seen) == 1
    assert seen.pop()[1] is True


@pytest.fixture(scope="module")
def golden(server: Server) -> Iterator[_Connection]:
    """A database in which each test changes one thing and takes it back."""
    with server.create("drifting") as connection:
        _build(connection, REFERENCE, _isolation("acme"))
        connection.execute("CREATE TABLE manor_notes (id int)")
        yield connection


CHANGES = [
    ("ALTER TABLE users ADD COLUMN x int", "column users.x: extra"),
    ("ALTER TABLE users DROP COLUMN email CASCADE", "column users.email: missing"),
    ("ALTER TABLE users RENAME COLUMN email TO mail", "column users.mail: extra"),
    ("ALTER TABLE users ALTER COLUMN username TYPE text", "column users.username: type is text"),
    ("ALTER TABLE users ALTER COLUMN username DROP NOT NULL", "column users.username: not null is none"),
    ("ALTER TABLE users ALTER COLUMN role SET DEFAULT 'admin'", "column users.role: default is 'admin'::text"),
    ('ALTER TABLE users ALTER COLUMN username TYPE varchar(255) COLLATE "C"', "column users.username: collation is"),
    ("ALTER TABLE users ALTER COLUMN id DROP IDENTITY", "column users.id: identity is none"),
    ("DROP INDEX idx_email", "index idx_email: missing"),
    ("CREATE INDEX idx_x ON users (email)", "index idx_x: extra"),
    ("ALTER TABLE orders DROP CONSTRAINT fk_product", "constraint orders.fk_product: missing"),
    ("ALTER TABLE users DROP CONSTRAINT users_role_check", "constraint users.users_role_check: missing"),
    ("ALTER DOMAIN short DROP CONSTRAINT is_short", "constraint public.short.is_short: missing"),
    (f"REVOKE INSERT ON users FROM {GROUP}", "table users: grants is"),
    (f"GRANT SELECT (email) ON users TO {GROUP}", "column users.email: grants is"),
    (f"REVOKE USAGE ON SCHEMA public FROM {GROUP}", "schema public: grants is"),
    (
        f"ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE SELECT ON TABLES FROM {GROUP}",
        f"default grants {ADMIN} r public: grants",
    ),
    ("GRANT CREATE ON SCHEMA public TO somebody; ALTER TABLE users OWNER TO somebody", "table users: owner is somebody"),
    (
        "GRANT CREATE ON SCHEMA public TO somebody; ALTER FUNCTION twice OWNER TO somebody",
        "function twice(n integer): owner is somebody",
    ),
    ("ALTER TABLE users DISABLE TRIGGER user_audit", "trigger users.user_audit: enabled is D"),
    ("DROP TRIGGER user_audit ON users", "trigger users.user_audit: missing"),
    (
        "CREATE OR REPLACE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS 'SELECT n * 3'",
        "function twice(n integer): definition",
    ),
    ("CREATE OR REPLACE VIEW admins AS SELECT id, email FROM users", "query of admins: definition is"),
    ("CREATE MATERIALIZED VIEW m AS SELECT 1", "materialized view m: extra"),
    ("ALTER SEQUENCE users_id_seq INCREMENT 5", "sequence settings users_id_seq: increment is 5"),
    ("ALTER TYPE mood RENAME VALUE 'good' TO 'fine'", "type mood: labels is"),
    ("ALTER TABLE notes DISABLE ROW LEVEL SECURITY", "table notes: row security is none"),
    ("ALTER TABLE notes FORCE ROW LEVEL SECURITY", "table notes: forced row security is on"),
    ("ALTER POLICY everybody ON notes USING (false)", "policy notes.everybody: using is false"),
    ("ALTER TABLE notes SET (fillfactor = 50)", "table notes: options is {fillfactor=50}"),
    ("ALTER TABLE notes SET UNLOGGED", "table notes: persistence is u"),
    ("DROP AGGREGATE total(int)", "function total(integer): missing"),
    ("CREATE SCHEMA extra; CREATE TABLE extra.t (id int)", "table extra.t: extra"),
    ("CREATE RULE r AS ON INSERT TO notes DO INSTEAD NOTHING", "rule notes.r: extra"),
    ("CREATE TYPE pair AS (a int, b int)", "composite type pair: extra"),
    ("CREATE TYPE span AS RANGE (subtype = int)", "type span: extra"),
    ("CREATE AGGREGATE total(text) (SFUNC = textcat, STYPE = text)", "function total(text): extra"),
    (
        "CREATE OR REPLACE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int, INITCOND = '1')",
        "function total(integer): definition",
    ),
    (
        "CREATE TABLE months (at date) PARTITION BY RANGE (at); CREATE TABLE may PARTITION OF months"
        " FOR VALUES FROM ('2024-05-01') TO ('2024-06-01')",
        "table may: extra",
    ),
    ("ALTER TABLE users ADD COLUMN double bigint GENERATED ALWAYS AS (id * 2) STORED", "column users.double: extra"),
    ("CREATE TABLE child () INHERITS (notes)", "column child.id: extra"),
    (
        "CREATE STATISTICS s ON id, title FROM notes; ALTER TABLE notes REPLICA IDENTITY FULL",
        "table notes: replica identity is f",
    ),
]


@pytest.mark.parametrize(("change", "explanation"), CHANGES)
def test_each_single_change_is_seen_and_named(golden: _Connection, change: str, explanation: str) -> None:
    """One change makes another fingerprint, and the explanation names what changed."""
    isolation = _isolation("acme")
    before, lines = _fingerprint(golden, isolation), _lines(golden, isolation)
    with golden.transaction(force_rollback=True):
        golden.execute(change.encode())
        after = _fingerprint(golden, isolation)
        drift = fingerprint.explain_drift(lines, _lines(golden, isolation))
    assert after[0] != before[0]
    assert any(line.startswith(explanation) for line in drift), drift
    assert _fingerprint(golden, isolation) == before


LOOSENED = [
    "ALTER TABLE users ALTER COLUMN tenant_id SET DEFAULT 'acme'",
    "ALTER TABLE users ALTER COLUMN tenant_id DROP DEFAULT",
    "ALTER TABLE users DROP CONSTRAINT manor_tenant_tenant_id",
    "ALTER TABLE users DROP CONSTRAINT manor_tenant_tenant_id, ADD CONSTRAINT manor_tenant_tenant_id"
    " CHECK (tenant_id = 'acme' OR true)",
    "ALTER TABLE users DROP CONSTRAINT manor_tenant_tenant_id, ADD CONSTRAINT manor_tenant_tenant_id"
    " CHECK (tenant_id = public.manor_tenant_users__tenant_id()) NOT VALID",
    "ALTER TABLE users DROP COLUMN tenant_id",
    "ALTER FUNCTION manor_tenant_users__tenant_id() VOLATILE",
]
WRONG_VALUES = [
    "CREATE OR REPLACE FUNCTION manor_tenant_users__tenant_id() RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE"
    " RETURN 'other'",
    "CREATE OR REPLACE FUNCTION manor_tenant_users__tenant_id() RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE"
    " RETURN 'ac' || 'me'",
    "CREATE OR REPLACE FUNCTION manor_tenant_users__tenant_id() RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE"
    " AS $$ SELECT 'acme' $$",
    "DROP FUNCTION manor_tenant_users__tenant_id() CASCADE",
    "ALTER FUNCTION manor_tenant_users__tenant_id() RENAME TO elsewhere",
]


@pytest.mark.parametrize("change", LOOSENED + WRONG_VALUES)
def test_a_wrong_tenant_value_is_seen(golden: _Connection, change: str) -> None:
    """A default or check that does not call the function changes the fingerprint; a wrong function fails the proof as well."""
    isolation = _isolation("acme")
    before = _fingerprint(golden, isolation)
    with golden.transaction(force_rollback=True):
        golden.execute(change.encode())
        after = _fingerprint(golden, isolation)
    assert before[1] is True
    assert after[1] is (change in LOOSENED)
    assert after[0] != before[0]


def test_another_tenants_value_is_not_ours(golden: _Connection) -> None:
    """A database that holds tenant acme's values does not pass as tenant other's."""
    assert _fingerprint(golden, _isolation("acme"))[1] is True
    assert _fingerprint(golden, _isolation("other"))[1] is False
    missing = [*_isolation("acme"), dataclasses.replace(_isolation("acme")[0], table="products")]
    assert _fingerprint(golden, missing)[1] is False
