from decimal import Decimal

import django.db.models.deletion
from django.apps.registry import Apps
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import campaigns.models.fields
from campaigns.models import append_only

EDITS = ("campaigns_edit",)


def install(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    append_only.install(schema_editor, EDITS)


def remove(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    append_only.lift(schema_editor.connection, EDITS)


class Migration(migrations.Migration):
    dependencies = [
        ("campaigns", "0002_api"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="BrandLimit",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="brand_limit",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "brands",
                    models.ManyToManyField(
                        blank=True,
                        help_text="The only brands this person sees. None chosen: no brand at all.",
                        related_name="+",
                        to="campaigns.brand",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Edit",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField()),
                (
                    "verb",
                    models.CharField(
                        choices=[
                            ("created", "created"),
                            ("changed", "changed"),
                            ("archived", "archived"),
                            ("deleted", "deleted"),
                        ],
                        max_length=8,
                    ),
                ),
                (
                    "changes",
                    models.JSONField(
                        default=dict, help_text="Field name to its value before and after, as text or null."
                    ),
                ),
                (
                    "actor",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "api_key",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        help_text="The key that did it, where no person did.",
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="campaigns.apikey",
                    ),
                ),
                (
                    "brand",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="edits",
                        to="campaigns.brand",
                    ),
                ),
                (
                    "campaign",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        help_text="Empty: the brand itself.",
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="edits",
                        to="campaigns.campaign",
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
                "indexes": [
                    models.Index(fields=["brand", "id"], name="edit_brand"),
                    models.Index(fields=["campaign", "id"], name="edit_campaign"),
                ],
            },
        ),
        migrations.CreateModel(
            name="BrandHour",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("day", models.DateField()),
                ("hour", models.SmallIntegerField(help_text="0–23, on the clock of the brand's time zone.")),
                ("spent", campaigns.models.fields.MoneyField(default=Decimal(0))),
                (
                    "brand",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="hours",
                        to="campaigns.brand",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="brandhour",
            constraint=models.UniqueConstraint(fields=("day", "brand", "hour"), name="brandhour_once"),
        ),
        migrations.AddConstraint(
            model_name="brandhour",
            constraint=models.CheckConstraint(
                condition=models.Q(("hour__gte", 0), ("hour__lte", 23)), name="brandhour_hour_0_23"
            ),
        ),
        migrations.AlterField(
            model_name="periodicrun",
            name="changed",
            field=models.BigIntegerField(
                default=0, help_text="Campaigns whose status changed; by a ledger check, counters that differ."
            ),
        ),
        migrations.AlterField(
            model_name="periodicrun",
            name="judged",
            field=models.BigIntegerField(default=0, help_text="Campaigns looked at; by a ledger check, counters."),
        ),
        migrations.AlterField(
            model_name="periodicrun",
            name="task",
            field=models.CharField(
                choices=[
                    ("enforce", "enforce status"),
                    ("reset_daily", "daily roll-over"),
                    ("reset_monthly", "monthly roll-over"),
                    ("check_ledger", "ledger check"),
                ],
                max_length=13,
            ),
        ),
        migrations.RunPython(install, remove),
    ]
