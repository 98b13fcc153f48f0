from decimal import Decimal

import django.db.models.deletion
from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import campaigns.models.fields
from campaigns.models import storage


def tune_storage(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    storage.tune(schema_editor, storage.PACES)


class Migration(migrations.Migration):
    dependencies = [("campaigns", "0006_alerts")]

    operations = [
        migrations.CreateModel(
            name="OwnerPace",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("day", models.DateField(help_text="The budget day that the numbers are of.")),
                ("probability", models.IntegerField()),
                ("second", models.IntegerField()),
                (
                    "seen",
                    models.BigIntegerField(help_text="What was spent and held of the day at the last step, in micros."),
                ),
                ("earned", models.BigIntegerField()),
                ("exposed", models.BigIntegerField()),
                ("silent", models.BigIntegerField()),
                (
                    "budget",
                    models.BigIntegerField(help_text="Empty: no budget binds, so that nothing is paced.", null=True),
                ),
                ("since", models.IntegerField()),
                ("base", models.BigIntegerField()),
                (
                    "published",
                    models.IntegerField(help_text="The probability that the status feed tells, in millionths."),
                ),
                (
                    "profile",
                    models.CharField(
                        help_text="The weights of the day's 24 hours, with commas between.", max_length=256
                    ),
                ),
                (
                    "transaction_id",
                    models.BigIntegerField(help_text="The transaction that published last: see models/feed.py."),
                ),
            ],
        ),
        migrations.AddField(
            model_name="brand",
            name="daily_from_month",
            field=models.BooleanField(
                default=False,
                db_default=False,
                help_text="Set the daily budget each day to what is left of the month, divided by its days.",
            ),
        ),
        migrations.AddField(
            model_name="brand",
            name="daily_least",
            field=campaigns.models.fields.MoneyField(
                blank=True,
                help_text="The least that a day gets of the month.",
                null=True,
                validators=[campaigns.models.fields.validate_budget],
            ),
        ),
        migrations.AddField(
            model_name="brand",
            name="daily_most",
            field=campaigns.models.fields.MoneyField(
                blank=True,
                help_text="The most that a day gets of the month.",
                null=True,
                validators=[campaigns.models.fields.validate_budget],
            ),
        ),
        migrations.AddField(
            model_name="brand",
            name="pacing",
            field=models.CharField(
                choices=[("asap", "as fast as it comes"), ("even", "evenly over the day")],
                default="asap",
                db_default="asap",
                help_text="Evenly: the budget is spread over the hours in which may be spent today.",
                max_length=4,
            ),
        ),
        migrations.AddField(
            model_name="campaign",
            name="daily_from_month",
            field=models.BooleanField(
                default=False,
                db_default=False,
                help_text="Set the daily budget each day to what is left of the month, divided by its days.",
            ),
        ),
        migrations.AddField(
            model_name="campaign",
            name="daily_least",
            field=campaigns.models.fields.MoneyField(
                blank=True,
                help_text="The least that a day gets of the month.",
                null=True,
                validators=[campaigns.models.fields.validate_budget],
            ),
        ),
        migrations.AddField(
            model_name="campaign",
            name="daily_most",
            field=campaigns.models.fields.MoneyField(
                blank=True,
                help_text="The most that a day gets of the month.",
                null=True,
                validators=[campaigns.models.fields.validate_budget],
            ),
        ),
        migrations.AddField(
            model_name="campaign",
            name="pacing",
            field=models.CharField(
                choices=[("asap", "as fast as it comes"), ("even", "evenly over the day")],
                default="asap",
                db_default="asap",
                help_text="Evenly: the budget is spread over the hours in which may be spent today.",
                max_length=4,
            ),
        ),
        migrations.AlterField(
            model_name="edit",
            name="verb",
            field=models.CharField(
                choices=[
                    ("created", "created"),
                    ("changed", "changed"),
                    ("archived", "archived"),
                    ("deleted", "deleted"),
                    ("divided", "set from the month"),
                ],
                max_length=8,
            ),
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
                    ("pace", "pacing"),
                ],
                max_length=13,
            ),
        ),
        migrations.AddConstraint(
            model_name="brand",
            constraint=models.CheckConstraint(
                condition=models.Q(("pacing__in", ["asap", "even"])), name="brand_pacing_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="brand",
            constraint=models.CheckConstraint(
                condition=models.Q(("daily_least__gte", Decimal(0))), name="brand_daily_least_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="brand",
            constraint=models.CheckConstraint(
                condition=models.Q(("daily_most__gte", Decimal(0))), name="brand_daily_most_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="brand",
            constraint=models.CheckConstraint(
                condition=models.Q(("daily_most__gte", models.F("daily_least"))),
                name="brand_daily_least_below_most",
                violation_error_message="Daily most: give an amount that is not below the daily least.",
            ),
        ),
        migrations.AddConstraint(
            model_name="campaign",
            constraint=models.CheckConstraint(
                condition=models.Q(("pacing__in", ["asap", "even"])), name="campaign_pacing_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="campaign",
            constraint=models.CheckConstraint(
                condition=models.Q(("daily_least__gte", Decimal(0))), name="campaign_daily_least_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="campaign",
            constraint=models.CheckConstraint(
                condition=models.Q(("daily_most__gte", Decimal(0))), name="campaign_daily_most_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="campaign",
            constraint=models.CheckConstraint(
                condition=models.Q(("daily_most__gte", models.F("daily_least"))),
                name="campaign_daily_least_below_most",
                violation_error_message="Daily most: give an amount that is not below the daily least.",
            ),
        ),
        migrations.AddField(
            model_name="ownerpace",
            name="brand",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="paces",
                to="campaigns.brand",
            ),
        ),
        migrations.AddField(
            model_name="ownerpace",
            name="campaign",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                help_text="Empty: the brand itself.",
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="paces",
                to="campaigns.campaign",
            ),
        ),
        migrations.AddIndex(
            model_name="ownerpace",
            index=models.Index(fields=["transaction_id"], name="ownerpace_transaction"),
        ),
        migrations.AddConstraint(
            model_name="ownerpace",
            constraint=models.UniqueConstraint(
                condition=models.Q(("campaign", None)), fields=("brand",), name="ownerpace_brand_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="ownerpace",
            constraint=models.UniqueConstraint(
                condition=models.Q(("campaign__isnull", False)),
                fields=("campaign", "brand"),
                name="ownerpace_campaign_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="ownerpace",
            constraint=models.CheckConstraint(
                condition=models.Q(("probability__gte", 0), ("probability__lte", 1000000)),
                name="ownerpace_probability_0_1",
            ),
        ),
        migrations.AddConstraint(
            model_name="ownerpace",
            constraint=models.CheckConstraint(
                condition=models.Q(("published__gte", 0), ("published__lte", 1000000)), name="ownerpace_published_0_1"
            ),
        ),
        migrations.CreateModel(
            name="CampaignHour",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("day", models.DateField()),
                ("hour", models.SmallIntegerField(help_text="0–23, on the clock of the brand's time zone.")),
                ("spent", campaigns.models.fields.MoneyField(default=Decimal(0))),
                (
                    "brand",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="campaigns.brand",
                    ),
                ),
                (
                    "campaign",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="hours",
                        to="campaigns.campaign",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="campaignhour",
            constraint=models.UniqueConstraint(fields=("day", "campaign", "hour", "brand"), name="campaignhour_once"),
        ),
        migrations.AddConstraint(
            model_name="campaignhour",
            constraint=models.CheckConstraint(
                condition=models.Q(("hour__gte", 0), ("hour__lte", 23)), name="campaignhour_hour_0_23"
            ),
        ),
        migrations.RunPython(tune_storage, migrations.RunPython.noop),
    ]
