import django.db.models.deletion
import django.utils.timezone
from django.apps.registry import Apps
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import campaigns.models.fields
from campaigns.models import append_only

BEFORE = ("campaigns_spendlog", "campaigns_statuschange")
AFTER = (*BEFORE, "campaigns_catalogchange")


def lift(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    append_only.lift(schema_editor.connection, BEFORE)


def put_back(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    append_only.install(schema_editor, BEFORE)


def install(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    append_only.install(schema_editor, AFTER)


def remove(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    append_only.lift(schema_editor.connection, AFTER)


class Migration(migrations.Migration):
    dependencies = [
        ("campaigns", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunPython(lift, put_back),  # SQLite rebuilds a table that gets a column, without its triggers
        migrations.CreateModel(
            name="CatalogChange",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField()),
                (
                    "transaction_id",
                    models.BigIntegerField(help_text="The transaction it came with: see models/feed.py."),
                ),
            ],
            options={
                "ordering": ("-id",),
            },
        ),
        migrations.CreateModel(
            name="Hold",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "key",
                    models.CharField(
                        help_text="The client's id of the request, used once within the brand.", max_length=128
                    ),
                ),
                ("day", models.DateField(help_text="The budget day whose budgets it holds: that of its making.")),
                ("asked", campaigns.models.fields.MoneyField(help_text="What the client asked for.")),
                (
                    "minimum",
                    campaigns.models.fields.MoneyField(help_text="The least that the client would have taken."),
                ),
                (
                    "amount",
                    campaigns.models.fields.MoneyField(help_text="What was granted and is held while it is open."),
                ),
                ("created_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
                (
                    "state",
                    models.SmallIntegerField(
                        choices=[(0, "open"), (1, "settled"), (2, "released"), (3, "expired")], default=0
                    ),
                ),
                ("closed_at", models.DateTimeField(null=True)),
                (
                    "event_id",
                    models.CharField(default="", help_text="The spend event that settled it.", max_length=128),
                ),
            ],
            options={
                "ordering": ("-id",),
            },
        ),
        migrations.AddField(
            model_name="statuschange",
            name="transaction_id",
            field=models.BigIntegerField(default=0, help_text="The transaction it came with: see models/feed.py."),
            preserve_default=False,
        ),
        migrations.CreateModel(
            name="ApiKey",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "name",
                    models.CharField(
                        help_text="Who uses it, such as the name of an ad server.", max_length=100, unique=True
                    ),
                ),
                (
                    "prefix",
                    models.CharField(editable=False, help_text="How the key begins.", max_length=16, unique=True),
                ),
                ("digest", models.CharField(editable=False, help_text="SHA-256 of the key.", max_length=64)),
                ("scopes", models.SmallIntegerField(help_text="Bits: 1 read, 2 spend, 4 manage.")),
                (
                    "all_brands",
                    models.BooleanField(default=True, help_text="Whether it sees every brand, now and in future."),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("revoked_at", models.DateTimeField(editable=False, null=True)),
                ("last_used_at", models.DateTimeField(editable=False, help_text="To within a minute.", null=True)),
                (
                    "brands",
                    models.ManyToManyField(
                        blank=True,
                        help_text="The only brands it sees. None chosen: every brand, now and in future.",
                        related_name="api_keys",
                        to="campaigns.brand",
                    ),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "API key",
                "ordering": ("name",),
            },
        ),
        migrations.AddField(
            model_name="statuschange",
            name="api_key",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                help_text="The key that did it, where no person did.",
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="campaigns.apikey",
            ),
        ),
        migrations.AddIndex(
            model_name="statuschange",
            index=models.Index(fields=["transaction_id"], name="statuschange_transaction"),
        ),
        migrations.AddField(
            model_name="catalogchange",
            name="brand",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="catalog_changes",
                to="campaigns.brand",
            ),
        ),
        migrations.AddField(
            model_name="catalogchange",
            name="campaign",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                help_text="Empty: all campaigns of the brand.",
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="catalog_changes",
                to="campaigns.campaign",
            ),
        ),
        migrations.AddField(
            model_name="hold",
            name="brand",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="holds",
                to="campaigns.brand",
            ),
        ),
        migrations.AddField(
            model_name="hold",
            name="campaign",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="holds",
                to="campaigns.campaign",
            ),
        ),
        migrations.AddConstraint(
            model_name="apikey",
            constraint=models.CheckConstraint(
                condition=models.Q(("scopes__gte", 1), ("scopes__lte", 7)), name="apikey_scopes_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="apikey",
            constraint=models.CheckConstraint(condition=models.Q(("name", ""), _negated=True), name="apikey_has_name"),
        ),
        migrations.AddIndex(
            model_name="catalogchange",
            index=models.Index(fields=["transaction_id"], name="catalogchange_transaction"),
        ),
        migrations.AddIndex(
            model_name="hold",
            index=models.Index(condition=models.Q(("state", 0)), fields=["brand", "expires_at"], name="hold_open"),
        ),
        migrations.AddIndex(
            model_name="hold",
            index=models.Index(fields=["campaign", "id"], name="hold_campaign"),
        ),
        migrations.AddIndex(
            model_name="hold",
            index=models.Index(condition=models.Q(("state", 1)), fields=["brand", "event_id"], name="hold_settled_by"),
        ),
        migrations.AddConstraint(
            model_name="hold",
            constraint=models.UniqueConstraint(fields=("brand", "key"), name="hold_key_once"),
        ),
        migrations.AddConstraint(
            model_name="hold",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("amount__gte", models.F("minimum")), ("amount__lte", models.F("asked")), ("minimum__gt", 0)
                ),
                name="hold_amount_as_asked",
            ),
        ),
        migrations.AddConstraint(
            model_name="hold",
            constraint=models.CheckConstraint(
                condition=models.Q(("expires_at__gt", models.F("created_at"))), name="hold_expires_later"
            ),
        ),
        migrations.AddConstraint(
            model_name="hold",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("closed_at", None), ("state", 0)),
                    models.Q(("closed_at__isnull", False), ("state__in", [1, 2, 3])),
                    _connector="OR",
                ),
                name="hold_closed_has_moment",
            ),
        ),
        migrations.AddConstraint(
            model_name="hold",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", 1), models.Q(("event_id", ""), _negated=True)),
                    models.Q(models.Q(("state", 1), _negated=True), ("event_id", "")),
                    _connector="OR",
                ),
                name="hold_settled_has_event",
            ),
        ),
        migrations.RunPython(install, remove),
    ]
