import datetime
from decimal import Decimal

import django.core.validators
import django.db.models.deletion
import django.db.models.functions.text
import django.db.models.lookups
import django.utils.timezone
import timezone_field.fields
from django.apps.registry import Apps
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import campaigns.models.catalog
import campaigns.models.fields
from campaigns.models import append_only, storage

APPEND_ONLY = ("campaigns_spendlog", "campaigns_statuschange")


def install(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    append_only.install(schema_editor, APPEND_ONLY)


def remove(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    append_only.remove(schema_editor, APPEND_ONLY)


def tune_storage(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    storage.tune(schema_editor)


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Brand",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=200, unique=True)),
                (
                    "external_id",
                    models.CharField(
                        blank=True,
                        help_text="The id of this brand in your own systems.",
                        max_length=128,
                        null=True,
                        unique=True,
                    ),
                ),
                (
                    "timezone",
                    timezone_field.fields.TimeZoneField(
                        default=campaigns.models.catalog.default_timezone,
                        help_text="Its midnight begins the budget day.",
                    ),
                ),
                (
                    "currency",
                    models.CharField(
                        default="USD",
                        help_text="ISO 4217 code, such as EUR.",
                        max_length=3,
                        validators=[campaigns.models.fields.validate_currency],
                    ),
                ),
                (
                    "daily_budget",
                    campaigns.models.fields.MoneyField(
                        blank=True,
                        help_text="Empty: no limit. 0: always spent.",
                        null=True,
                        validators=[campaigns.models.fields.validate_budget],
                    ),
                ),
                (
                    "monthly_budget",
                    campaigns.models.fields.MoneyField(
                        blank=True,
                        help_text="Empty: no limit. 0: always spent.",
                        null=True,
                        validators=[campaigns.models.fields.validate_budget],
                    ),
                ),
                (
                    "budget_scope",
                    models.CharField(
                        choices=[("brand", "all campaigns together"), ("campaign", "each campaign alone")],
                        default="brand",
                        help_text="Whether the budgets bind the sum of the brand's campaigns or each campaign alone.",
                        max_length=8,
                    ),
                ),
                ("archived_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
            ],
            options={
                "ordering": ("name",),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("daily_budget__gte", Decimal(0))), name="brand_daily_budget_not_negative"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("monthly_budget__gte", Decimal(0))),
                        name="brand_monthly_budget_not_negative",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("budget_scope__in", ["brand", "campaign"])), name="brand_scope_known"
                    ),
                    models.CheckConstraint(condition=models.Q(("name", ""), _negated=True), name="brand_has_name"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Campaign",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=200)),
                (
                    "external_id",
                    models.CharField(
                        blank=True, help_text="The id of this campaign in your own systems.", max_length=128, null=True
                    ),
                ),
                (
                    "daily_budget",
                    campaigns.models.fields.MoneyField(
                        blank=True,
                        help_text="Binds beside the brand's. Empty: no limit of its own.",
                        null=True,
                        validators=[campaigns.models.fields.validate_budget],
                    ),
                ),
                (
                    "monthly_budget",
                    campaigns.models.fields.MoneyField(
                        blank=True,
                        help_text="Binds beside the brand's. Empty: no limit of its own.",
                        null=True,
                        validators=[campaigns.models.fields.validate_budget],
                    ),
                ),
                (
                    "total_budget",
                    campaigns.models.fields.MoneyField(
                        blank=True,
                        help_text="For its whole life. Empty: no limit.",
                        null=True,
                        validators=[campaigns.models.fields.validate_budget],
                    ),
                ),
                (
                    "flight_start",
                    models.DateField(
                        blank=True,
                        help_text="First day, in the brand's time zone.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(
                                datetime.date(2000, 1, 1), "Give a day from 2000-01-01 on."
                            ),
                            django.core.validators.MaxValueValidator(
                                datetime.date(2199, 12, 31), "Give a day until 2199-12-31, or leave it empty."
                            ),
                        ],
                    ),
                ),
                (
                    "flight_end",
                    models.DateField(
                        blank=True,
                        help_text="Last day, in the brand's time zone.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(
                                datetime.date(2000, 1, 1), "Give a day from 2000-01-01 on."
                            ),
                            django.core.validators.MaxValueValidator(
                                datetime.date(2199, 12, 31), "Give a day until 2199-12-31, or leave it empty."
                            ),
                        ],
                    ),
                ),
                (
                    "paused_manually",
                    models.BooleanField(
                        default=False, editable=False, help_text="A person's pause; only a person lifts it."
                    ),
                ),
                (
                    "is_active",
                    models.BooleanField(default=True, editable=False, help_text="True exactly when nothing pauses it."),
                ),
                (
                    "reasons",
                    campaigns.models.fields.ReasonsField(
                        default=0, editable=False, help_text="Every reason why it may not spend."
                    ),
                ),
                ("status_changed_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("archived_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                (
                    "brand",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="campaigns", to="campaigns.brand"
                    ),
                ),
            ],
            options={
                "ordering": ("brand__name", "name"),
            },
        ),
        migrations.CreateModel(
            name="CampaignCounter",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("period", models.SmallIntegerField(choices=[(1, "day"), (2, "month"), (3, "total")])),
                ("start", models.DateField(help_text="The day, the 1st of the month, or 1970-01-01 for the total.")),
                ("spent", campaigns.models.fields.MoneyField(default=Decimal(0))),
                ("held", campaigns.models.fields.MoneyField(default=Decimal(0))),
                (
                    "brand",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="campaigns.brand",
                    ),
                ),
                (
                    "campaign",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="counters",
                        to="campaigns.campaign",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="DaypartingSchedule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("start_hour", models.SmallIntegerField(blank=True, help_text="0–23, included.", null=True)),
                (
                    "end_hour",
                    models.SmallIntegerField(
                        blank=True, help_text="0–23, excluded; at or before the start it runs past midnight.", null=True
                    ),
                ),
                (
                    "weekdays",
                    models.SmallIntegerField(
                        blank=True,
                        help_text="Bits, Monday is 1; a window past midnight belongs to the day it began on.",
                        null=True,
                    ),
                ),
                (
                    "grid",
                    models.CharField(
                        blank=True,
                        help_text="168 hours from Monday 00:00, 1 where it may spend.",
                        max_length=168,
                        null=True,
                    ),
                ),
                (
                    "campaign",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE, related_name="schedule", to="campaigns.campaign"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="PeriodicRun",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "task",
                    models.CharField(
                        choices=[
                            ("enforce", "enforce status"),
                            ("reset_daily", "daily roll-over"),
                            ("reset_monthly", "monthly roll-over"),
                        ],
                        max_length=13,
                    ),
                ),
                ("started_at", models.DateTimeField()),
                ("finished_at", models.DateTimeField(null=True)),
                ("judged", models.BigIntegerField(default=0, help_text="Campaigns looked at.")),
                ("changed", models.BigIntegerField(default=0, help_text="Campaigns whose status changed.")),
            ],
            options={
                "ordering": ("-id",),
                "indexes": [models.Index(fields=["task", "started_at"], name="periodicrun_task")],
            },
        ),
        migrations.CreateModel(
            name="RollOver",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("period", models.SmallIntegerField(choices=[(1, "day"), (2, "month"), (3, "total")])),
                ("start", models.DateField(help_text="The day that began, or the 1st of the month that began.")),
                ("at", models.DateTimeField(help_text="When its campaigns had been judged.")),
                (
                    "brand",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="roll_overs",
                        to="campaigns.brand",
                    ),
                ),
            ],
            options={
                "verbose_name": "roll-over",
                "ordering": ("-id",),
            },
        ),
        migrations.CreateModel(
            name="SpendLog",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "event_id",
                    models.CharField(help_text="The reporter's id, counted once within the brand.", max_length=128),
                ),
                ("kind", models.SmallIntegerField(choices=[(1, "spend"), (2, "adjustment")], default=1)),
                (
                    "amount",
                    campaigns.models.fields.MoneyField(
                        help_text="In the brand's currency; negative only for an adjustment."
                    ),
                ),
                ("timestamp", models.DateTimeField(help_text="When it occurred, as reported.")),
                (
                    "day",
                    models.DateField(
                        help_text="The budget day it counts in: the local date of the brand when it was recorded."
                    ),
                ),
                ("recorded_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("note", models.CharField(blank=True, default="", max_length=500)),
                (
                    "brand",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="spend_logs",
                        to="campaigns.brand",
                    ),
                ),
                (
                    "campaign",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="spend_logs",
                        to="campaigns.campaign",
                    ),
                ),
            ],
            options={
                "verbose_name": "spend log row",
                "verbose_name_plural": "spend log",
                "ordering": ("-id",),
            },
        ),
        migrations.CreateModel(
            name="StatusChange",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField()),
                ("from_reasons", campaigns.models.fields.ReasonsField(default=0)),
                ("to_reasons", campaigns.models.fields.ReasonsField(default=0)),
                (
                    "cause",
                    models.CharField(
                        choices=[
                            ("spend", "spend recorded"),
                            ("pass", "periodic pass"),
                            ("roll_over", "a new day or month began"),
                            ("budget", "budget changed"),
                            ("schedule", "schedule changed"),
                            ("flight", "flight changed"),
                            ("settings", "settings changed"),
                            ("person", "a person paused or resumed it"),
                            ("created", "campaign created"),
                            ("archived", "archived"),
                            ("repair", "counters repaired"),
                        ],
                        max_length=10,
                    ),
                ),
                ("note", models.CharField(blank=True, default="", max_length=500)),
                ("brand_daily_spent", campaigns.models.fields.MoneyField()),
                ("brand_daily_budget", campaigns.models.fields.MoneyField(null=True)),
                ("brand_monthly_spent", campaigns.models.fields.MoneyField()),
                ("brand_monthly_budget", campaigns.models.fields.MoneyField(null=True)),
                ("campaign_daily_spent", campaigns.models.fields.MoneyField()),
                ("campaign_daily_budget", campaigns.models.fields.MoneyField(null=True)),
                ("campaign_monthly_spent", campaigns.models.fields.MoneyField()),
                ("campaign_monthly_budget", campaigns.models.fields.MoneyField(null=True)),
                ("campaign_total_spent", campaigns.models.fields.MoneyField()),
                ("campaign_total_budget", campaigns.models.fields.MoneyField(null=True)),
                (
                    "actor",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "brand",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="status_changes",
                        to="campaigns.brand",
                    ),
                ),
                (
                    "campaign",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="status_changes",
                        to="campaigns.campaign",
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
            },
        ),
        migrations.CreateModel(
            name="BrandCounter",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("period", models.SmallIntegerField(choices=[(1, "day"), (2, "month"), (3, "total")])),
                ("start", models.DateField(help_text="The day, the 1st of the month, or 1970-01-01 for the total.")),
                ("spent", campaigns.models.fields.MoneyField(default=Decimal(0))),
                ("held", campaigns.models.fields.MoneyField(default=Decimal(0))),
                (
                    "brand",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="counters",
                        to="campaigns.brand",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("period", "start", "brand"), name="brandcounter_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("spent__gte", Decimal("-9000000000000.000000")),
                            ("spent__lte", Decimal("9000000000000.000000")),
                        ),
                        name="brandcounter_spent_in_range",
                    ),
                    models.CheckConstraint(condition=models.Q(("held__gte", 0)), name="brandcounter_held_not_negative"),
                ],
            },
        ),
        migrations.AddIndex(
            model_name="campaign",
            index=models.Index(fields=["external_id"], name="campaign_external_id"),
        ),
        migrations.AddConstraint(
            model_name="campaign",
            constraint=models.UniqueConstraint(fields=("brand", "external_id"), name="campaign_external_id_unique"),
        ),
        migrations.AddConstraint(
            model_name="campaign",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("is_active", True), ("reasons", 0)),
                    models.Q(("is_active", False), models.Q(("reasons", 0), _negated=True)),
                    _connector="OR",
                ),
                name="campaign_active_means_no_reason",
            ),
        ),
        migrations.AddConstraint(
            model_name="campaign",
            constraint=models.CheckConstraint(
                condition=models.Q(("reasons__gte", 0), ("reasons__lte", 511)), name="campaign_reasons_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="campaign",
            constraint=models.CheckConstraint(
                condition=models.Q(("daily_budget__gte", Decimal(0))), name="campaign_daily_budget_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="campaign",
            constraint=models.CheckConstraint(
                condition=models.Q(("monthly_budget__gte", Decimal(0))), name="campaign_monthly_budget_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="campaign",
            constraint=models.CheckConstraint(
                condition=models.Q(("total_budget__gte", Decimal(0))), name="campaign_total_budget_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="campaign",
            constraint=models.CheckConstraint(
                condition=models.Q(("flight_end__gte", models.F("flight_start"))),
                name="campaign_flight_ends_after_start",
                violation_error_message="Flight end: give a day that is not before the flight start.",
            ),
        ),
        migrations.AddConstraint(
            model_name="campaign",
            constraint=models.CheckConstraint(
                condition=models.Q(("name", ""), _negated=True), name="campaign_has_name"
            ),
        ),
        migrations.AddConstraint(
            model_name="campaigncounter",
            constraint=models.UniqueConstraint(
                fields=("period", "start", "campaign", "brand"), name="campaigncounter_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="campaigncounter",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("spent__gte", Decimal("-9000000000000.000000")), ("spent__lte", Decimal("9000000000000.000000"))
                ),
                name="campaigncounter_spent_in_range",
            ),
        ),
        migrations.AddConstraint(
            model_name="campaigncounter",
            constraint=models.CheckConstraint(
                condition=models.Q(("held__gte", 0)), name="campaigncounter_held_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="daypartingschedule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("start_hour", None), models.Q(("start_hour__gte", 0), ("start_hour__lte", 23)), _connector="OR"
                ),
                name="schedule_start_hour_0_23",
            ),
        ),
        migrations.AddConstraint(
            model_name="daypartingschedule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("end_hour", None), models.Q(("end_hour__gte", 0), ("end_hour__lte", 23)), _connector="OR"
                ),
                name="schedule_end_hour_0_23",
            ),
        ),
        migrations.AddConstraint(
            model_name="daypartingschedule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("start_hour", None), models.Q(("start_hour", models.F("end_hour")), _negated=True), _connector="OR"
                ),
                name="schedule_hours_differ",
            ),
        ),
        migrations.AddConstraint(
            model_name="daypartingschedule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("weekdays", None), models.Q(("weekdays__gte", 1), ("weekdays__lte", 127)), _connector="OR"
                ),
                name="schedule_weekdays_1_127",
            ),
        ),
        migrations.AddConstraint(
            model_name="daypartingschedule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("end_hour__isnull", False),
                        ("grid", None),
                        ("start_hour__isnull", False),
                        ("weekdays__isnull", False),
                    ),
                    models.Q(("end_hour", None), ("grid__isnull", False), ("start_hour", None), ("weekdays", None)),
                    _connector="OR",
                ),
                name="schedule_exactly_one_form",
            ),
        ),
        migrations.AddConstraint(
            model_name="daypartingschedule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("grid", None),
                    django.db.models.lookups.Exact(django.db.models.functions.text.Length("grid"), 168),
                    _connector="OR",
                ),
                name="schedule_grid_168_hours",
            ),
        ),
        migrations.AddConstraint(
            model_name="daypartingschedule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("grid", None),
                    django.db.models.lookups.Exact(
                        django.db.models.functions.text.Replace(
                            django.db.models.functions.text.Replace("grid", models.Value("0"), models.Value("")),
                            models.Value("1"),
                            models.Value(""),
                        ),
                        models.Value(""),
                    ),
                    _connector="OR",
                ),
                name="schedule_grid_0_or_1",
            ),
        ),
        migrations.AddConstraint(
            model_name="rollover",
            constraint=models.UniqueConstraint(fields=("brand", "period", "start"), name="rollover_once"),
        ),
        migrations.AddIndex(
            model_name="spendlog",
            index=models.Index(fields=["campaign", "day"], name="spendlog_campaign_day"),
        ),
        migrations.AddConstraint(
            model_name="spendlog",
            constraint=models.UniqueConstraint(fields=("brand", "event_id"), name="spendlog_event_once"),
        ),
        migrations.AddConstraint(
            model_name="spendlog",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("amount__gt", 0), ("kind", 1)),
                    models.Q(
                        ("kind", 2), models.Q(("amount", 0), _negated=True), models.Q(("note", ""), _negated=True)
                    ),
                    _connector="OR",
                ),
                name="spendlog_amount_fits_kind",
            ),
        ),
        migrations.AddIndex(
            model_name="statuschange",
            index=models.Index(fields=["campaign", "id"], name="statuschange_campaign"),
        ),
        migrations.RunPython(install, remove),
        migrations.RunPython(tune_storage, migrations.RunPython.noop),
    ]
