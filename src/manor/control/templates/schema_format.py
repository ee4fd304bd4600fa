"""The keys of DBGear's ``schema.yaml``, typed. What becomes of them is decided in ``schema_yaml``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from manor.typed_input import DbgearModel

NEXT_POSITION = -1
"""What ``primary_key: true`` becomes: the position after those before it."""


def _from_text(value: Any) -> Any:
    if not isinstance(value, (str, dict)):
        raise ValueError("must be SQL text such as VARCHAR(100), the name of a registered type, or a mapping")
    return {"column_type": value} if isinstance(value, str) else value


def _from_item(value: Any) -> Any:
    if not isinstance(value, (str, dict)):
        raise ValueError("must be text or a mapping")
    return {"value": value} if isinstance(value, str) else value


def _position(value: Any) -> Any:
    if isinstance(value, bool):
        return NEXT_POSITION if value else None
    if isinstance(value, int) and value < 1:
        raise ValueError("counts from 1")
    return value


def _upper(value: Any) -> Any:
    return " ".join(value.upper().split()) if isinstance(value, str) else value


ForeignKeyAction = Annotated[Literal["RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT", "NO ACTION"], BeforeValidator(_upper)]
Position = Annotated[
    int | None, BeforeValidator(_position), WithJsonSchema({"type": ["integer", "boolean", "null"], "minimum": 1})
]


class Item(DbgearModel):
    """One allowed value of an ENUM or SET."""

    value: str
    """The value as stored."""
    caption: str | None = None
    """Its display name; documentation."""
    description: str | None = None
    """What it stands for; documentation."""


class ColumnTypeFormat(DbgearModel):
    """A column type in parts."""

    column_type: str
    """The type as written in SQL, such as `VARCHAR(100)`, or the name of a registered type."""
    base_type: str | None = None
    """The type without its size, such as `VARCHAR`."""
    length: Annotated[int, Field(ge=0)] | None = None
    """Size of a text or number type."""
    precision: Annotated[int, Field(ge=0)] | None = None
    """Digits of a DECIMAL."""
    scale: Annotated[int, Field(ge=0)] | None = None
    """Digits after the point of a DECIMAL."""
    items: list[Annotated[Item, BeforeValidator(_from_item)]] | None = None
    """Allowed values of an ENUM or SET."""
    json_schema: Any = None
    """JSON Schema of a JSON column. Accepted, not acted on yet."""


ColumnTypeOrName = Annotated[ColumnTypeFormat, BeforeValidator(_from_text)]


class ColumnFormat(DbgearModel):
    """One column."""

    column_name: str
    """Name of the column."""
    display_name: str | None = None
    """Name for people; becomes the column's comment."""
    column_type: ColumnTypeOrName
    """Its type: SQL text, the name of a registered type, or the parts."""
    nullable: bool = True
    """Whether NULL may stand in it."""
    primary_key: Position = None
    """Position in the primary key, from 1; `true` takes the next one."""
    default_value: Any = None
    """Default, an SQL expression as text; a number or a boolean stands for itself."""
    expression: str | None = None
    """SQL expression of a generated column."""
    stored: bool = False
    """Whether the generated value is stored."""
    auto_increment: bool = False
    """Whether the database numbers the rows."""
    charset: str | None = None
    """MySQL's character set. Accepted, not acted on."""
    collation: str | None = None
    """MySQL's collation. Accepted, not acted on."""
    notes: Any = None
    """Documentation."""


class IndexFormat(DbgearModel):
    """One index."""

    index_name: str | None = None
    """Its name; made from table and columns where left out."""
    columns: Annotated[list[str], Field(min_length=1)]
    """Indexed columns in order."""
    index_type: Annotated[str, BeforeValidator(_upper)] = "BTREE"
    """Kind of index, such as `BTREE`, `HASH`, `GIN`."""
    unique: bool = False
    """Whether the columns' values must differ between rows."""
    partial_condition: str | None = None
    """SQL condition of a partial index."""
    include_columns: list[str] | None = None
    """Further columns kept in the index without being part of its key."""
    storage_parameters: Any = None
    """Accepted, not acted on yet."""
    tablespace: str | None = None
    """Accepted, not acted on yet."""
    notes: Any = None
    """Documentation."""


class RelationTarget(DbgearModel):
    """The table that a relation points to."""

    schema_name: str
    """Its schema."""
    table_name: str
    """Its name."""


class BindColumn(DbgearModel):
    """One pair of columns of a relation."""

    source_column: str
    """Column of this table."""
    target_column: str
    """Column of the target."""


class RelationFormat(DbgearModel):
    """One relation; a foreign key unless `create_foreign_key_constraints` is off."""

    target: RelationTarget
    """The table it points to."""
    bind_columns: Annotated[list[BindColumn], Field(min_length=1)]
    """Which columns are equal."""
    cardinarity_source: Any = None
    """Documentation (spelled as in DBGear)."""
    cardinarity_target: Any = None
    """Documentation (spelled as in DBGear)."""
    cardinality_source: Any = None
    """Documentation."""
    cardinality_target: Any = None
    """Documentation."""
    constraint_name: str | None = None
    """Its name; made from table and columns where left out."""
    on_delete: ForeignKeyAction = "RESTRICT"
    """What happens to this row when the target row is deleted."""
    on_update: ForeignKeyAction = "RESTRICT"
    """What happens to this row when the target's key changes."""
    deferrable: bool = False
    """Whether the check may wait until the transaction ends."""
    initially_deferred: bool = False
    """Whether it waits unless told otherwise."""
    match_type: Annotated[Literal["SIMPLE", "FULL", "PARTIAL"], BeforeValidator(_upper)] = "SIMPLE"
    """How NULLs in a key of several columns count."""
    relationship_type: Any = None
    """Documentation."""
    description: str | None = None
    """Documentation."""
    notes: Any = None
    """Documentation."""


class TableFormat(DbgearModel):
    """One table."""

    display_name: str | None = None
    """Name for people; becomes the table's comment."""
    columns: list[ColumnFormat] | None = None
    """The columns in order."""
    fields: list[ColumnFormat] | None = None
    """Older name of `columns`."""
    indexes: list[IndexFormat] = Field(default_factory=list)
    """Its indexes."""
    relations: list[RelationFormat] = Field(default_factory=list)
    """Its relations to other tables."""
    mysql_options: Any = None
    """MySQL's table options. Accepted, not acted on."""
    categories: Any = None
    """Documentation."""
    notes: Any = None
    """Documentation."""


class ViewFormat(DbgearModel):
    """One view."""

    display_name: str | None = None
    """Name for people; the comment where there is none."""
    select_statement: str
    """The SELECT that the view stands for."""
    comment: str | None = None
    """Comment in the database."""
    notes: Any = None
    """Documentation."""


class TriggerFormat(DbgearModel):
    """One trigger."""

    display_name: str | None = None
    """Documentation."""
    table_name: str
    """Table that it watches."""
    timing: Annotated[Literal["BEFORE", "AFTER", "INSTEAD OF"], BeforeValidator(_upper)]
    """When it runs."""
    event: Annotated[str, BeforeValidator(_upper)]
    """INSERT, UPDATE or DELETE, several joined by OR."""
    condition: str | None = None
    """SQL condition under which it runs."""
    body: str
    """The SQL that it runs."""
    notes: Any = None
    """Documentation."""


class SchemaFormat(DbgearModel):
    """One schema."""

    tables: dict[str, TableFormat] = Field(default_factory=dict)
    """Tables by name."""
    views: dict[str, ViewFormat] = Field(default_factory=dict)
    """Views by name."""
    triggers: dict[str, TriggerFormat] = Field(default_factory=dict)
    """Triggers by name."""
    procedures: dict[str, Any] = Field(default_factory=dict)
    """Stored procedures by name, in MySQL's language. Accepted, not acted on: write them into `schema.sql`."""
    registry: dict[str, ColumnTypeFormat] = Field(default_factory=dict)
    """Column types of this schema by name."""
    notes: Any = None
    """Documentation."""


class SchemaFile(DbgearModel):
    """The keys of `schema.yaml`."""

    schemas: dict[str, SchemaFormat] = Field(default_factory=dict)
    """Schemas by name."""
    registry: dict[str, ColumnTypeFormat] = Field(default_factory=dict)
    """Column types of all schemas by name."""
    notes: Any = None
    """Documentation."""
