"""The tables that a ``schema.sql`` creates, as far as rows must be checked against them.

The file itself is run as it is. Its statements are told apart by sqlglot's tokenizer (PostgreSQL dialect), and only
CREATE TABLE and ALTER TABLE are read; functions, grants and extensions pass. A CREATE TABLE that cannot be read is a
finding, since its rows could not be checked.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlglot
from sqlglot import Token, TokenType, exp
from sqlglot.dialects.postgres import Postgres
from sqlglot.errors import ParseError, TokenError

from manor.control.templates.column_kinds import numbers_itself
from manor.control.templates.model import Column, ForeignKey, Table
from manor.control.templates.schema_layer import Relation, SchemaLayer
from manor.control.templates.schema_yaml import made_name
from manor.errors import Finding, Place

FILE_NAME = "schema.sql"

_CREATE_TABLE = re.compile(r"CREATE\s+(?:UNLOGGED\s+)?TABLE\b", re.IGNORECASE)
_ALTER_TABLE = re.compile(r"ALTER\s+TABLE\b", re.IGNORECASE)
_PARTITION_OF = re.compile(r"\bPARTITION\s+OF\b", re.IGNORECASE)
_NUMBERED_LATER = re.compile(
    r"ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?(?:[\w\"]+\.)?\"?(\w+)\"?\s+ALTER\s+(?:COLUMN\s+)?\"?(\w+)\"?\s+ADD\s+GENERATED",
    re.IGNORECASE,
)


@dataclass(slots=True)
class _Draft:
    """A table while its statements are being read."""

    name: str
    place: Place
    columns: dict[str, Column] = field(default_factory=dict)
    keys: list[ForeignKey] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Statement:
    text: str
    line: int
    column: int


def parse_schema_sql(text: str, file: str) -> tuple[SchemaLayer, list[Finding]]:
    """The layer that ``text`` stands for: the text itself and the tables that could be read from it."""
    reader = _Reader(file)
    with _quiet_sqlglot():
        reader.read(text)
    drafts = reader.drafts.values()
    layer = SchemaLayer(
        file=file,
        tables={("", d.name): Table(schema="", name=d.name, columns=tuple(d.columns.values()), place=d.place) for d in drafts},
        relations={("", d.name): tuple(Relation(key=key, target_schema="", place=d.place) for key in d.keys) for d in drafts},
        sql=text,
        broken=bool(reader.findings),
    )
    return layer, reader.findings


@contextlib.contextmanager
def _quiet_sqlglot() -> Iterator[None]:
    """sqlglot logs a warning for each statement that it only passes through; here that is what should happen."""
    logger = logging.getLogger("sqlglot")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def split_statements(text: str) -> list[_Statement]:
    """The statements of ``text`` and where each begins; semicolons inside strings, comments and dollar quotes do not end one.

    Raises sqlglot's ``TokenError`` for a string or comment that is not closed.
    """
    statements: list[_Statement] = []
    current: list[Token] = []
    for token in [*Postgres().tokenize(text), None]:
        if token is not None and token.token_type is not TokenType.SEMICOLON:
            current.append(token)
        elif current:
            start = current[0].start
            line_start = text.rfind("\n", 0, start) + 1
            slice_ = text[start : current[-1].end + 1]
            statements.append(_Statement(slice_, text.count("\n", 0, start) + 1, start - line_start + 1))
            current = []
    return statements


class _Reader:
    def __init__(self, file: str) -> None:
        self.file = file
        self.drafts: dict[str, _Draft] = {}
        self.findings: list[Finding] = []

    def read(self, text: str) -> None:
        try:
            statements = split_statements(text)
        except TokenError as error:
            place = _place_of_token_error(self.file, text, error)
            self.report("the SQL cannot be read: a string, comment or name is not closed", place)
            return
        for statement in statements:
            if _CREATE_TABLE.match(statement.text):
                self.create_table(statement)
            elif _ALTER_TABLE.match(statement.text):
                self.alter_table(statement)

    def report(self, message: str, place: Place, hint: str = "") -> None:
        self.findings.append(Finding(message=message, place=place, hint=hint))

    def create_table(self, statement: _Statement) -> None:
        place = Place(self.file, statement.line, statement.column)
        if _PARTITION_OF.search(statement.text):
            return
        try:
            tree = sqlglot.parse_one(statement.text, read="postgres")
        except ParseError as error:
            self.report(*_explain(error, statement, self.file))
            return
        body = tree.this if isinstance(tree, exp.Create) else None
        if not isinstance(body, exp.Schema) or not isinstance(body.this, exp.Table):
            hint = "list its columns in CREATE TABLE name (…) so that rows can be checked"
            self.report("this CREATE TABLE cannot be read", place, hint)
            return
        if body.this.db not in ("", "public"):
            message = f"table {body.this.name!r} is put into schema {body.this.db!r}"
            self.report(message, place, "all tables of a tenant stand in public")
        if body.this.name in self.drafts:
            self.report(f"table {body.this.name!r} is created twice", place)
            return
        draft = _Draft(body.this.name, place)
        self.drafts[draft.name] = draft
        for part in body.expressions:
            self.add_part(draft, part)

    def add_part(self, draft: _Draft, part: Any) -> None:
        if isinstance(part, exp.ColumnDef):
            draft.columns[part.name] = _column(part, draft.place)
            draft.keys.extend(_column_keys(draft.name, part))
        elif isinstance(part, exp.LikeProperty):
            source = self.drafts.get(part.this.name)
            draft.columns |= source.columns if source else {}
        else:
            _add_constraint(draft, part)

    def alter_table(self, statement: _Statement) -> None:
        """What later statements add to a table (pg_dump writes keys this way); what cannot be read does not matter for rows."""
        numbered = _NUMBERED_LATER.match(statement.text)
        if numbered:
            self.change_column(numbered.group(1), numbered.group(2), auto_increment=True)
            return
        try:
            tree = sqlglot.parse_one(statement.text, read="postgres")
        except ParseError:
            return
        draft = self.drafts.get(tree.this.name) if isinstance(tree, exp.Alter) else None
        for action in tree.args.get("actions", ()) if draft else ():
            self.alter(draft, action)

    def alter(self, draft: _Draft | None, action: Any) -> None:
        if draft is None:
            return
        if isinstance(action, exp.AlterColumn):
            default = action.args.get("default")
            if default is not None:
                self.change_column(draft.name, action.name, default=default.sql("postgres"))
        elif isinstance(action, exp.ColumnDef):
            self.add_part(draft, action)
        elif isinstance(action, exp.AddConstraint):
            for constraint in action.expressions:
                _add_constraint(draft, constraint)

    def change_column(self, table: str, column: str, **changes: Any) -> None:
        draft = self.drafts.get(table)
        if draft and column in draft.columns:
            draft.columns[column] = dataclasses.replace(draft.columns[column], **changes)


def _column(part: exp.ColumnDef, place: Place) -> Column:
    kinds = [constraint.kind for constraint in part.constraints]
    declared = part.kind.sql("postgres") if part.kind else ""
    default = next((k.this for k in kinds if isinstance(k, exp.DefaultColumnConstraint)), None)
    generated = next((k for k in kinds if isinstance(k, exp.ComputedColumnConstraint)), None)
    keyed = any(isinstance(k, exp.PrimaryKeyColumnConstraint) for k in kinds)
    required = any(isinstance(k, exp.NotNullColumnConstraint) and not k.args.get("allow_null") for k in kinds)
    identity = any(isinstance(k, exp.GeneratedAsIdentityColumnConstraint) for k in kinds)
    numbered = numbers_itself(declared) or identity
    return Column(
        name=part.name,
        type=declared,
        nullable=not (keyed or required or numbered),
        primary_key=1 if keyed else None,
        default=default.sql("postgres") if default is not None else None,
        expression=generated.this.sql("postgres") if generated is not None else None,
        stored=generated is not None,
        auto_increment=numbered,
        place=place,
    )


def _column_keys(table: str, part: exp.ColumnDef) -> Iterator[ForeignKey]:
    for constraint in part.constraints:
        if isinstance(constraint.kind, exp.Reference):
            yield _foreign_key(made_name("fk", table, [part.name]), (part.name,), constraint.kind)


def _add_constraint(draft: _Draft, part: Any) -> None:
    name = part.name if isinstance(part, exp.Constraint) else ""
    for body in part.expressions if isinstance(part, exp.Constraint) else [part]:
        columns = tuple(column.name for column in body.expressions) if hasattr(body, "expressions") else ()
        if isinstance(body, exp.PrimaryKey):
            _set_key(draft, columns)
        elif isinstance(body, exp.ForeignKey):
            draft.keys.append(_foreign_key(name or made_name("fk", draft.name, columns), columns, body.args["reference"]))


def _set_key(draft: _Draft, columns: tuple[str, ...]) -> None:
    for position, name in enumerate(columns, 1):
        if name in draft.columns:
            draft.columns[name] = dataclasses.replace(draft.columns[name], primary_key=position, nullable=False)


def _foreign_key(name: str, columns: tuple[str, ...], reference: Any) -> ForeignKey:
    target = reference.this
    listed = tuple(column.name for column in target.expressions) if isinstance(target, exp.Schema) else ()
    table = target.this.name if isinstance(target, exp.Schema) else target.name
    return ForeignKey(name=name, columns=columns, target_table=table, target_columns=listed)


def _explain(error: ParseError, statement: _Statement, file: str) -> tuple[str, Place]:
    detail = error.errors[0] if error.errors else {}
    line, column = int(detail.get("line") or 1), int(detail.get("col") or 1)
    column -= max(0, len(detail.get("highlight") or "") - 1)  # sqlglot names the end of the word
    offset = statement.column - 1 if line == 1 else 0
    near = f" near {detail['highlight']!r}" if detail.get("highlight") else ""
    message = f"this CREATE TABLE cannot be read: {detail.get('description', 'syntax error')}{near}"
    return message, Place(file, statement.line + line - 1, column + offset)


def _place_of_token_error(file: str, text: str, error: TokenError) -> Place:
    """sqlglot names the offset at which the unclosed thing begins, in the cause's message only."""
    found = re.search(r"from \d+:(\d+)", f"{error} {error.__cause__}")
    if not found:
        return Place(file)
    offset = min(int(found.group(1)), len(text))
    return Place(file, text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))
