"""How PostgreSQL lays out the tables whose rows are updated in place, again and again."""

from __future__ import annotations

from django.db.backends.base.schema import BaseDatabaseSchemaEditor

# Room on each page for the next version of its rows: an update of a counter or a status then stays on its page and
# touches no index. A pass may change every second campaign at once, so these get half a page.
FILL = {"campaigns_brandcounter": 50, "campaigns_campaigncounter": 70, "campaigns_campaign": 50}


def tune(schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Set the fill factors; SQLite has none."""
    if schema_editor.connection.vendor == "postgresql":
        for table, percent in FILL.items():
            schema_editor.execute(f"ALTER TABLE {table} SET (fillfactor = {percent})")
