"""Append-only tables: the database itself refuses to change or delete their rows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

TABLES = ("campaigns_spendlog", "campaigns_statuschange", "campaigns_catalogchange", "campaigns_edit")

_POSTGRESQL_FUNCTION = """
CREATE OR REPLACE FUNCTION campaigns_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: record a correction as a new row', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$
"""


def install(schema_editor: BaseDatabaseSchemaEditor, tables: Sequence[str] = TABLES) -> None:
    """Create the triggers on every append-only table, or on those that a migration knows of."""
    connection = schema_editor.connection
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_POSTGRESQL_FUNCTION)
        for statement in _create_statements(connection, tables):
            cursor.execute(statement)


def remove(schema_editor: BaseDatabaseSchemaEditor, tables: Sequence[str] = TABLES) -> None:
    """Drop the triggers, and on PostgreSQL the function behind them."""
    lift(schema_editor.connection, tables)
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP FUNCTION IF EXISTS campaigns_append_only()")


@contextlib.contextmanager
def suspended(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Lift the triggers for a while. For test suites that empty their tables; the product never does."""
    lift(connection)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            for statement in _create_statements(connection, TABLES):
                cursor.execute(statement)


def lift(connection: BaseDatabaseWrapper, tables: Sequence[str] = TABLES) -> None:
    """Drop the triggers. For a migration that has to rebuild a table, which on SQLite takes its triggers with it."""
    with connection.cursor() as cursor:
        for table in tables:
            for verb in ("update", "delete"):
                on_table = f" ON {table}" if connection.vendor == "postgresql" else ""
                cursor.execute(f"DROP TRIGGER IF EXISTS {table}_no_{verb}{on_table}")


def _create_statements(connection: BaseDatabaseWrapper, tables: Sequence[str]) -> Iterator[str]:
    for table in tables:
        for verb in ("update", "delete"):
            head = f"CREATE TRIGGER {table}_no_{verb} BEFORE {verb.upper()} ON {table}"
            if connection.vendor == "postgresql":
                yield f"{head} FOR EACH ROW EXECUTE FUNCTION campaigns_append_only()"
            else:
                message = f"{table} is append-only: record a correction as a new row"
                yield f"{head} BEGIN SELECT RAISE(ABORT, '{message}'); END"
