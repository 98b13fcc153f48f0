import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import campaigns.models.fields


class Migration(migrations.Migration):
    dependencies = [("campaigns", "0005_archive")]

    operations = [
        migrations.CreateModel(
            name="Alert",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "uid",
                    models.CharField(help_text="The id of its message, the same for every attempt.", max_length=32),
                ),
                (
                    "kind",
                    models.SmallIntegerField(
                        choices=[
                            (1, "share of the daily budget"),
                            (2, "share of the monthly budget"),
                            (4, "share of the total budget"),
                            (8, "overspend"),
                            (16, "campaigns paused"),
                            (32, "campaigns resumed"),
                            (64, "periodic runs late"),
                            (128, "ledger check failed"),
                            (256, "channel switched off"),
                            (512, "test"),
                            (1024, "forecast above budget"),
                            (2048, "under-delivery"),
                        ]
                    ),
                ),
                (
                    "key",
                    models.CharField(
                        help_text="What is told once: of a budget its owner, value and period.", max_length=128
                    ),
                ),
                (
                    "threshold",
                    models.SmallIntegerField(default=0, help_text="Percent, where it is about a share of a budget."),
                ),
                ("at", models.DateTimeField()),
                ("message", models.TextField()),
                ("payload", models.TextField(help_text="What a webhook is sent, to the byte.")),
                (
                    "brand",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="alerts",
                        to="campaigns.brand",
                    ),
                ),
                (
                    "campaign",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="alerts",
                        to="campaigns.campaign",
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
            },
        ),
        migrations.CreateModel(
            name="AlertRule",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "kind",
                    models.SmallIntegerField(
                        choices=[
                            (1, "share of the daily budget"),
                            (2, "share of the monthly budget"),
                            (4, "share of the total budget"),
                            (8, "overspend"),
                            (16, "campaigns paused"),
                            (32, "campaigns resumed"),
                            (64, "periodic runs late"),
                            (128, "ledger check failed"),
                            (256, "channel switched off"),
                            (512, "test"),
                            (1024, "forecast above budget"),
                            (2048, "under-delivery"),
                        ]
                    ),
                ),
                (
                    "subject",
                    models.SmallIntegerField(
                        choices=[(0, "the brand"), (1, "each campaign"), (2, "the installation")], editable=False
                    ),
                ),
                ("percents", models.CharField(blank=True, help_text="Such as 50, 80, 100.", max_length=60)),
                (
                    "pause_reasons",
                    campaigns.models.fields.ReasonsField(
                        default=0, help_text="The reasons that are told of a pause or its end."
                    ),
                ),
                ("is_on", models.BooleanField(default=True, help_text="Off: nothing of this kind is told here.")),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                (
                    "brand",
                    models.ForeignKey(
                        blank=True,
                        help_text="Empty: all.",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="alert_rules",
                        to="campaigns.brand",
                    ),
                ),
                (
                    "campaign",
                    models.ForeignKey(
                        blank=True,
                        help_text="Empty: all.",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="alert_rules",
                        to="campaigns.campaign",
                    ),
                ),
            ],
            options={
                "verbose_name": "alert rule",
                "ordering": ("kind", "subject", "brand__name", "campaign__name"),
            },
        ),
        migrations.CreateModel(
            name="Channel",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=100)),
                (
                    "type",
                    models.CharField(
                        choices=[("webhook", "webhook"), ("email", "e-mail"), ("apprise", "messenger")], max_length=7
                    ),
                ),
                ("kinds", models.SmallIntegerField(default=4095, help_text="Bits: the kinds of alert it gets.")),
                ("target", models.TextField(editable=False, help_text="The address, sealed.")),
                (
                    "shown",
                    models.CharField(
                        editable=False, help_text="As much of the address as may be shown.", max_length=200
                    ),
                ),
                (
                    "secret",
                    models.TextField(default="", editable=False, help_text="What messages are signed with, sealed."),
                ),
                ("old_secret", models.TextField(default="", editable=False)),
                ("old_secret_until", models.DateTimeField(editable=False, null=True)),
                (
                    "state",
                    models.SmallIntegerField(
                        choices=[(0, "on"), (1, "paused"), (2, "switched off")], default=0, editable=False
                    ),
                ),
                (
                    "state_note",
                    models.CharField(default="", editable=False, help_text="Why it is not on.", max_length=300),
                ),
                ("state_since", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                (
                    "lease",
                    models.CharField(
                        default="", editable=False, help_text="Who works off its deliveries.", max_length=32
                    ),
                ),
                ("lease_until", models.DateTimeField(editable=False, null=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                (
                    "brand",
                    models.ForeignKey(
                        blank=True,
                        help_text="Gets the alerts of this brand. Empty: those of every brand, and of the installation.",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="alert_channels",
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
                "ordering": ("name",),
            },
        ),
        migrations.CreateModel(
            name="Delivery",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "state",
                    models.SmallIntegerField(choices=[(0, "waiting"), (1, "delivered"), (2, "given up")], default=0),
                ),
                ("attempts", models.IntegerField(default=0)),
                (
                    "made_at",
                    models.DateTimeField(help_text="When it was put on its way, or put there again by a person."),
                ),
                ("due_at", models.DateTimeField(help_text="When it is to be tried next.")),
                ("settled_at", models.DateTimeField(help_text="When it was delivered or given up.", null=True)),
                (
                    "alert",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="deliveries", to="campaigns.alert"
                    ),
                ),
                (
                    "channel",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="deliveries",
                        to="campaigns.channel",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "deliveries",
                "ordering": ("-id",),
            },
        ),
        migrations.CreateModel(
            name="Attempt",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("number", models.IntegerField()),
                ("at", models.DateTimeField()),
                ("milliseconds", models.IntegerField()),
                ("status", models.SmallIntegerField(help_text="The HTTP status, where there was one.", null=True)),
                ("answer", models.CharField(default="", help_text="How the answer began.", max_length=500)),
                (
                    "error",
                    models.CharField(
                        default="", help_text="Why it failed, in words; empty when it did not.", max_length=500
                    ),
                ),
                (
                    "delivery",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="tries", to="campaigns.delivery"
                    ),
                ),
            ],
            options={
                "ordering": ("id",),
            },
        ),
        migrations.CreateModel(
            name="JournalPosition",
            fields=[
                ("id", models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("position", models.TextField(default="")),
                ("forecasts_at", models.DateTimeField(help_text="When forecasts were last looked at.", null=True)),
            ],
            options={
                "constraints": [models.CheckConstraint(condition=models.Q(("id", 1)), name="journalposition_is_one")],
            },
        ),
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(fields=["brand", "id"], name="alert_brand"),
        ),
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(fields=["at"], name="alert_at"),
        ),
        migrations.AddConstraint(
            model_name="alert",
            constraint=models.UniqueConstraint(fields=("brand", "key", "threshold"), name="alert_once"),
        ),
        migrations.AddConstraint(
            model_name="alert",
            constraint=models.UniqueConstraint(
                condition=models.Q(("brand", None)), fields=("key", "threshold"), name="alert_of_the_installation_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="alertrule",
            constraint=models.UniqueConstraint(
                condition=models.Q(("brand", None), ("campaign", None)),
                fields=("kind", "subject"),
                name="alertrule_once_for_all",
            ),
        ),
        migrations.AddConstraint(
            model_name="alertrule",
            constraint=models.UniqueConstraint(
                condition=models.Q(("brand__isnull", False), ("campaign", None)),
                fields=("brand", "kind", "subject"),
                name="alertrule_once_for_brand",
            ),
        ),
        migrations.AddConstraint(
            model_name="alertrule",
            constraint=models.UniqueConstraint(
                condition=models.Q(("campaign__isnull", False)),
                fields=("brand", "campaign", "kind"),
                name="alertrule_once_for_campaign",
            ),
        ),
        migrations.AddConstraint(
            model_name="alertrule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("campaign", None), models.Q(("brand__isnull", False), ("subject", 1)), _connector="OR"
                ),
                name="alertrule_campaign_has_brand",
            ),
        ),
        migrations.AddConstraint(
            model_name="alertrule",
            constraint=models.CheckConstraint(
                condition=models.Q(models.Q(("subject", 2), _negated=True), ("brand", None), _connector="OR"),
                name="alertrule_product_has_no_brand",
            ),
        ),
        migrations.AddConstraint(
            model_name="channel",
            constraint=models.UniqueConstraint(fields=("name",), name="channel_name_once"),
        ),
        migrations.AddConstraint(
            model_name="channel",
            constraint=models.CheckConstraint(condition=models.Q(("name", ""), _negated=True), name="channel_has_name"),
        ),
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(condition=models.Q(("state", 0)), fields=["channel", "due_at"], name="delivery_due"),
        ),
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(condition=models.Q(("state", 0)), fields=["made_at"], name="delivery_waiting"),
        ),
        migrations.AddConstraint(
            model_name="delivery",
            constraint=models.UniqueConstraint(fields=("channel", "alert"), name="delivery_once"),
        ),
    ]
