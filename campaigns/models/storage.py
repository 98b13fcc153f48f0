"""How PostgreSQL lays out the tables whose rows are updated in place, again and again."""

from __future__ import annotations

from collections.abc import Mapping

from django.db.backends.base.schema import BaseDatabaseSchemaEditor

# Room on each page for the next version of its rows: an update of a counter or a status then stays on its page and
# touches no index. A pass may change every second campaign at once, so these get half a page.
FILL = {"campaigns_brandcounter": 50, "campaigns_campaigncounter": 70, "campaigns_campaign": 50}


PACES = {"campaigns_ownerpace": 50}
"""The same of the paces, which a run of the pacing updates all at once."""


def tune(schema_editor: BaseDatabaseSchemaEditor, fill: Mapping[str, int] = FILL) -> None:
    """Set the fill factors; SQLite has none."""
    if schema_editor.connection.vendor == "postgresql":
        for table, percent in fill.items():
            schema_editor.execute(f"ALTER TABLE {table} SET (fillfactor = {percent})")
