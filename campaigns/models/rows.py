"""Lists of rows as a table expression: the one place where SQL for PostgreSQL and for SQLite differs.

Everything else in a hand-written statement is the dialect that both share.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Literal

from django.db import IntegrityError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.errors import UniqueViolation

ColumnType = Literal["bigint", "smallint", "text", "date", "timestamptz"]


class Rows:
    """Rows of values to be sent to the database as one parameter per column.

    columns: name → type, in order. values: one list per column, in the same order and all of the same length.
    Use `sql` where a table name may stand and put `params` at the same place of the statement's parameters.
    """

    def __init__(
        self,
        connection: BaseDatabaseWrapper,
        columns: Mapping[str, ColumnType],
        values: Sequence[Sequence[Any]],
    ) -> None:
        self.params: list[str]
        if connection.vendor == "postgresql":
            arrays = ", ".join(f"%s::{kind}[]" for kind in columns.values())
            self.sql = f"unnest({arrays}) AS rows({', '.join(columns)})"
            self.params = [_array(kind, column) for kind, column in zip(columns.values(), values, strict=True)]
        else:
            names = ", ".join(f"json_extract(value, '$[{at}]') AS {name}" for at, name in enumerate(columns))
            self.sql = f"(SELECT {names} FROM json_each(%s)) AS rows"
            stored = [
                _as_stored(connection, kind, column) for kind, column in zip(columns.values(), values, strict=True)
            ]
            self.params = [json.dumps(list(zip(*stored, strict=True)))]


def copy_if_all_new(
    connection: BaseDatabaseWrapper, table: str, columns: Mapping[str, ColumnType], rows: Sequence[tuple[Any, ...]]
) -> bool:
    """Insert many rows in the fastest way the database has, if none of them breaks a unique key.

    Return False, with nothing inserted and the transaction intact, if one does, and where there is no such way (or
    too few rows to be worth it): then insert them by an ordinary statement.
    """
    if connection.vendor != "postgresql" or len(rows) < _WORTH_COPYING:
        return False
    try:
        command = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)"
        with (
            transaction.atomic(),
            connection.wrap_database_errors,
            connection.cursor() as cursor,
            cursor.copy(command) as copy,
        ):
            copy.set_types(list(columns.values()))
            for row in rows:
                copy.write_row(row)
    except IntegrityError as error:
        if not isinstance(error.__cause__, UniqueViolation):
            raise
        return False
    return True


_WORTH_COPYING = 50
"""Rows from which on a COPY beats a statement in spite of its savepoint."""


def one_of(connection: BaseDatabaseWrapper, column: str, ids: Sequence[int]) -> tuple[str, str]:
    """The condition that a column is one of some ids, with its one parameter.

    On PostgreSQL it is no subquery: behind a join of many tables the planner would come to that last, after it has
    joined all of their rows.
    """
    if connection.vendor == "postgresql":
        return f"{column} = ANY(%s::bigint[])", _array("bigint", ids)
    return f"{column} IN (SELECT value FROM json_each(%s))", json.dumps(list(ids))


def for_update(connection: BaseDatabaseWrapper) -> str:
    """The clause that locks the selected rows. SQLite needs none: its transactions begin by locking out writers."""
    return " FOR NO KEY UPDATE" if connection.vendor == "postgresql" else ""


def literal(connection: BaseDatabaseWrapper, day: date) -> str:
    """A date as a constant of a statement."""
    return f"date '{day}'" if connection.vendor == "postgresql" else f"'{day}'"


def largest(connection: BaseDatabaseWrapper, *values: str) -> str:
    """The expression for the largest of some values, none of which is NULL."""
    return f"{'GREATEST' if connection.vendor == 'postgresql' else 'max'}({', '.join(values)})"


def month_of(connection: BaseDatabaseWrapper, column: str) -> str:
    """The expression for the first day of the month of a date column."""
    if connection.vendor == "postgresql":
        return f"date_trunc('month', {column})::date"
    return f"date({column}, 'start of month')"


def as_date(value: date | str) -> date:
    """A date that came out of a hand-written statement; SQLite gives it as text."""
    return date.fromisoformat(value) if isinstance(value, str) else value


def _as_stored(connection: BaseDatabaseWrapper, kind: ColumnType, column: Sequence[Any]) -> Sequence[Any]:
    """The values as SQLite keeps them and JSON can carry them: dates and times are text there."""
    if kind == "date":
        return [None if value is None else value.isoformat() for value in column]
    if kind == "timestamptz":
        return [None if value is None else connection.ops.adapt_datetimefield_value(value) for value in column]
    return column


def _array(kind: ColumnType, column: Sequence[Any]) -> str:
    """The values as a PostgreSQL array literal.

    Written here and not by the driver, whose arrays are built value by value in Python: for a thousand events that
    takes longer than the database needs to insert them.
    """
    if None in column:
        return "{" + ",".join("NULL" if value is None else _quoted(str(value)) for value in column) + "}"
    if kind == "text":
        # One escape for all: the separator can't come out of the data, its quotes are escaped by then.
        joined = _SEPARATOR.join(column)
        if joined.count(_SEPARATOR) != max(len(column) - 1, 0):
            return "{" + ",".join(map(_quoted, column)) + "}"
        return "{" + _quoted(joined).replace(_SEPARATOR, '","') + "}" if column else "{}"
    if kind == "timestamptz":
        return "{" + ",".join([f'"{value}"' for value in column]) + "}"
    return "{" + ",".join(map(str, column)) + "}"


_SEPARATOR = "\x1f"


def _quoted(text: str) -> str:
    """One array element: in quotes, with backslashes and quotes escaped."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
