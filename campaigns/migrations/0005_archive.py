import django.db.models.deletion
from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import campaigns.models.fields
from campaigns.models import append_only

ARCHIVED = ("campaigns_archivedspend",)


def install(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    append_only.install(schema_editor, ARCHIVED)
    append_only.install_doors(schema_editor.connection)


def remove(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    append_only.remove_doors(schema_editor.connection)
    append_only.lift(schema_editor.connection, ARCHIVED)


class Migration(migrations.Migration):
    dependencies = [("campaigns", "0004_journal_by_brand")]

    operations = [
        migrations.CreateModel(
            name="LedgerArchive",
            fields=[
                ("month", models.DateField(help_text="The 1st of the month.", primary_key=True, serialize=False)),
                ("until", models.DateField(help_text="The 1st of the month after it.", unique=True)),
                ("closed_at", models.DateTimeField()),
                (
                    "sealed_at",
                    models.DateTimeField(help_text="When the file was found to hold what the ledger did.", null=True),
                ),
                (
                    "removed_at",
                    models.DateTimeField(help_text="When the last of its rows had left the ledger.", null=True),
                ),
                (
                    "file",
                    models.CharField(
                        default="", help_text="The name of the Parquet file, without its folder.", max_length=255
                    ),
                ),
                ("sha256", models.CharField(default="", help_text="Of the file.", max_length=64)),
                ("rows", models.BigIntegerField(default=0)),
                (
                    "first_id",
                    models.BigIntegerField(help_text="The lowest id of its rows; none if it has no rows.", null=True),
                ),
                ("last_id", models.BigIntegerField(help_text="The highest id of its rows.", null=True)),
                (
                    "archived_by",
                    models.CharField(default="", help_text="The account that ran the command.", max_length=150),
                ),
            ],
            options={
                "verbose_name": "archived month",
                "ordering": ("month",),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("until__gt", models.F("month"))), name="ledgerarchive_month_ends"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("sealed_at", None), ("sha256", "")),
                            models.Q(
                                ("sealed_at__isnull", False),
                                models.Q(("sha256", ""), _negated=True),
                                models.Q(("file", ""), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="ledgerarchive_sealed_has_file",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("removed_at", None), ("sealed_at__isnull", False), _connector="OR"),
                        name="ledgerarchive_removed_is_sealed",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ArchivedSpend",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("day", models.DateField()),
                ("amount", campaigns.models.fields.MoneyField(help_text="In the brand's currency.")),
                ("rows", models.BigIntegerField()),
                (
                    "brand",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="campaigns.brand",
                    ),
                ),
                (
                    "campaign",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="campaigns.campaign",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "archived spend",
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "campaign", "day"), name="archivedspend_once")
                ],
            },
        ),
        migrations.RunPython(install, remove),
    ]
