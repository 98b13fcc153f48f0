from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import ProjectState


class AddIndexBesideWriters(AddIndexConcurrently):
    """Add an index without keeping writers out: while the journal can't be written, nothing that crosses a limit can.

    SQLite has one writer at a time anyway.
    """

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        operation = _operation(schema_editor)
        operation.database_forwards(self, app_label, schema_editor, from_state, to_state)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        operation = _operation(schema_editor)
        operation.database_backwards(self, app_label, schema_editor, from_state, to_state)


def _operation(schema_editor: BaseDatabaseSchemaEditor) -> type[migrations.AddIndex]:
    return AddIndexConcurrently if schema_editor.connection.vendor == "postgresql" else migrations.AddIndex


class Migration(migrations.Migration):
    atomic = False  # PostgreSQL builds no index beside writers within a transaction

    dependencies = [("campaigns", "0003_pages")]

    operations = [
        AddIndexBesideWriters(
            model_name="statuschange",
            index=models.Index(fields=["brand", "id"], name="statuschange_brand"),
        ),
    ]
