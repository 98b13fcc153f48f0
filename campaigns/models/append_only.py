"""Append-only tables: the database itself refuses to change or delete their rows.

The ledger has two doors of its own beside that, both for the archive (`models/archive.py`): rows of a sealed month may
be deleted, and no row may be added to a month that is closed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

TABLES = (
    "campaigns_spendlog",
    "campaigns_statuschange",
    "campaigns_catalogchange",
    "campaigns_edit",
    "campaigns_archivedspend",
)

LEDGER, ARCHIVE = "campaigns_spendlog", "campaigns_ledgerarchive"

_POSTGRESQL_FUNCTION = """
CREATE OR REPLACE FUNCTION campaigns_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: record a correction as a new row', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$
"""

_UNCHANGED = f"{LEDGER} is append-only: record a correction as a new row"
_CLOSED = f"{LEDGER} takes no row of a month that is archived: record it as an adjustment of today"
_SEALED = f"EXISTS (SELECT 1 FROM {ARCHIVE} WHERE sealed_at IS NOT NULL AND OLD.day >= month AND OLD.day < until)"
_END_OF_CLOSED = f"(SELECT max(until) FROM {ARCHIVE})"

# Once a statement and not once a row: a batch of a thousand is looked through in a fraction of a millisecond, and a
# COPY stays what it is. The lock is what makes a month stand still: whoever closes one waits for all that have looked,
# and all who look wait for that (see `lock_out_recording`). Ordinary readers of the table are no part of this.
_POSTGRESQL_FUNCTIONS = f"""
CREATE OR REPLACE FUNCTION campaigns_ledger_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF {_SEALED} THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION '{_UNCHANGED}' USING ERRCODE = 'restrict_violation';
END $$;

CREATE OR REPLACE FUNCTION campaigns_ledger_closed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    open_from date;
BEGIN
    LOCK TABLE {ARCHIVE} IN ROW SHARE MODE;
    open_from := {_END_OF_CLOSED};
    IF open_from IS NOT NULL AND EXISTS (SELECT 1 FROM recorded WHERE day < open_from) THEN
        RAISE EXCEPTION '{_CLOSED}' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
"""

_POSTGRESQL_TRIGGERS = (
    f"""
        CREATE TRIGGER {LEDGER}_no_delete BEFORE DELETE ON {LEDGER}
        FOR EACH ROW EXECUTE FUNCTION campaigns_ledger_deleted()
    """,
    f"""
        CREATE TRIGGER {LEDGER}_closed AFTER INSERT ON {LEDGER} REFERENCING NEW TABLE AS recorded
        FOR EACH STATEMENT EXECUTE FUNCTION campaigns_ledger_closed()
    """,
)
_SQLITE_TRIGGERS = (
    f"""
        CREATE TRIGGER {LEDGER}_no_delete BEFORE DELETE ON {LEDGER} WHEN NOT {_SEALED}
        BEGIN SELECT RAISE(ABORT, '{_UNCHANGED}'); END
    """,
    f"""
        CREATE TRIGGER {LEDGER}_closed AFTER INSERT ON {LEDGER} WHEN NEW.day < {_END_OF_CLOSED}
        BEGIN SELECT RAISE(ABORT, '{_CLOSED}'); END
    """,
)


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


def install_doors(connection: BaseDatabaseWrapper) -> None:
    """Let the ledger's triggers ask the archive; the plain one that refuses every deletion makes room for that."""
    _drop(connection, LEDGER, "no_delete", "closed")
    postgresql = connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        for statement in (_POSTGRESQL_FUNCTIONS, *_POSTGRESQL_TRIGGERS) if postgresql else _SQLITE_TRIGGERS:
            cursor.execute(statement)


def remove_doors(connection: BaseDatabaseWrapper) -> None:
    """Refuse every deletion again, and take rows of any day."""
    _drop(connection, LEDGER, "no_delete", "closed")
    with connection.cursor() as cursor:
        for statement in _create_statements(connection, (LEDGER,), ("delete",)):
            cursor.execute(statement)
        if connection.vendor == "postgresql":
            cursor.execute("DROP FUNCTION campaigns_ledger_deleted(); DROP FUNCTION campaigns_ledger_closed()")


def lock_out_recording(connection: BaseDatabaseWrapper, *, wait_ms: int) -> None:
    """Within a transaction: wait for those that are recording to end, and let nobody begin until the commit.

    Others queue behind this while it waits, hence the bound. Raises OperationalError when it is over. On SQLite a
    transaction is alone anyway.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = {wait_ms:d}; LOCK TABLE {ARCHIVE} IN EXCLUSIVE MODE")


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
        install_doors(connection)


def lift(connection: BaseDatabaseWrapper, tables: Sequence[str] = TABLES) -> None:
    """Drop the triggers. For a migration that has to rebuild a table, which on SQLite takes its triggers with it.

    The ledger's have to be put back by `install_doors` then.
    """
    for table in tables:
        _drop(connection, table, "no_update", "no_delete")
    if LEDGER in tables:
        _drop(connection, LEDGER, "closed")


def _drop(connection: BaseDatabaseWrapper, table: str, *names: str) -> None:
    on_table = f" ON {table}" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        for name in names:
            cursor.execute(f"DROP TRIGGER IF EXISTS {table}_{name}{on_table}")


def _create_statements(
    connection: BaseDatabaseWrapper, tables: Sequence[str], verbs: Sequence[str] = ("update", "delete")
) -> Iterator[str]:
    for table in tables:
        for verb in verbs:
            head = f"CREATE TRIGGER {table}_no_{verb} BEFORE {verb.upper()} ON {table}"
            if connection.vendor == "postgresql":
                yield f"{head} FOR EACH ROW EXECUTE FUNCTION campaigns_append_only()"
            else:
                message = f"{table} is append-only: record a correction as a new row"
                yield f"{head} BEGIN SELECT RAISE(ABORT, '{message}'); END"
