"""Channels: where alerts go. A secret is shown once, when it is made or rolled, and an address never again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from unfold import widgets
from unfold.enums import ActionVariant

from campaigns.admin import words
from campaigns.admin.alert_forms import OwnedAdmin, RefusedForm, is_new
from campaigns.admin.alerts import zone_of
from campaigns.admin.base import AutocompleteFilter, CheckboxSelectMultiple, action, actor, figures, moment
from campaigns.admin.writing import ConfirmForm
from campaigns.models import Channel
from campaigns.queries import alerts as queries
from campaigns.rules import alerts
from campaigns.rules.alerts import Kind
from campaigns.rules.errors import BudgetError
from campaigns.services import channels
from campaigns.services.channels import Target

_TARGET = "campaigns.channels.target"

_CHOSEN = alerts.ALL & ~(Kind.TEST | Kind.CHANNEL_OFF)
"""The kinds that one chooses; of the others a channel gets what concerns it."""

_TONES = {Channel.State.ON: "green", Channel.State.PAUSED: "amber", Channel.State.OFF: "red"}


class ChannelForm(RefusedForm[Channel]):
    """Asks where alerts go, and which."""

    address = forms.CharField(
        label="Address",
        max_length=2_000,
        required=False,
        widget=widgets.UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text="A webhook: https://…, a public address. E-mail: addresses, separated by commas. "
        "A messenger: its Apprise address, such as slack://token_a/token_b/token_c or tgram://token/chat.",
    )
    gets = forms.TypedMultipleChoiceField(
        label="Gets",
        coerce=int,
        choices=[(int(kind), capfirst(alerts.LABELS[kind])) for kind in _CHOSEN],
        initial=[int(kind) for kind in _CHOSEN],
        widget=CheckboxSelectMultiple,
        help_text="What is told at all is for the rules to say.",
    )

    class Meta:
        model = Channel
        fields = ("name", "type", "brand")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "type" in self.fields:
            choices = [(value, capfirst(label)) for value, label in Channel.Type.choices]
            cast("forms.ChoiceField", self.fields["type"]).choices = choices
        if not is_new(self.instance):
            self.initial["gets"] = [int(kind) for kind in _CHOSEN if kind & self.instance.kinds]
            if "address" in self.fields:
                self.fields["address"].help_text = "Empty: it stays as it is. What is set can't be shown again."

    def clean(self) -> dict[str, Any] | None:
        """Ask for an address of a new channel."""
        cleaned = super().clean()
        if is_new(self.instance) and not self.cleaned_data.get("address") and "address" not in self.errors:
            self.add_error("address", "Give the address that alerts go to.")
        return cleaned


@admin.register(Channel)
class ChannelAdmin(OwnedAdmin[Channel]):
    """Channels."""

    brand_path = "brand"
    form = ChannelForm
    autocomplete_fields = ("brand",)
    list_display = ("name", "type_text", "where", "of_whom", "state_text", "last", "waiting")
    list_filter = ("type", "state", ("brand", AutocompleteFilter))
    list_select_related = ("brand",)
    search_fields = ("name",)
    actions = None
    actions_detail = ("send_test", "roll_secret", "pause", "resume")
    empty_icon = "campaign"
    empty_text = "No channels yet. Add a webhook, an e-mail address or a messenger: alerts go there from then on."

    # Saving.

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show or save the form. An address is looked up before: no transaction waits for the network."""
        address = request.POST.get("address", "").strip() if request.method == "POST" else ""
        if address and self._may_store(request, object_id):
            try:
                request.META[_TARGET] = channels.look_at(self._type(request, object_id), address)
            except (BudgetError, ValueError) as error:
                self.refuse(request, error if isinstance(error, BudgetError) else BudgetError("Choose a type."))
        return super().changeform_view(request, object_id, form_url, extra_context)

    def _may_store(self, request: HttpRequest, object_id: str | None) -> bool:
        return self.has_add_permission(request) if object_id is None else self.has_change_permission(request)

    def _type(self, request: HttpRequest, object_id: str | None) -> Channel.Type:
        """What is posted, or what the channel is. Raises ValueError for what is no type."""
        row = None if object_id is None else self.get_object(request, object_id)
        return Channel.Type(request.POST.get("type", "") if row is None else row.type)

    def store(self, request: HttpRequest, row: Channel, form: Any) -> Channel:
        """Make or change a channel; a new secret is shown this once."""
        kinds = Kind(sum(form.cleaned_data["gets"]))
        target: Target | None = request.META.get(_TARGET)
        if not is_new(row):
            return channels.update_channel(
                channel_id=row.pk, name=form.cleaned_data["name"], kinds=kinds, target=target
            )
        if target is None:
            raise BudgetError("Give the address that alerts go to.")
        brand = form.cleaned_data["brand"]
        channel, secret = channels.create_channel(
            name=form.cleaned_data["name"],
            target=target,
            brand_id=None if brand is None else brand.pk,
            kinds=kinds,
            now=moment(request),
            by=actor(request),
        )
        if secret:
            self.message_user(request, _shown_once(secret), messages.WARNING)
        return channel

    def remove(self, request: HttpRequest, row: Channel) -> None:
        """Delete a channel."""
        channels.delete_channel(channel_id=row.pk)

    def get_fieldsets(self, request: HttpRequest, obj: Channel | None = None) -> Any:
        """Return the form; type and brand of a channel stay as they are."""
        if obj is None:
            return ((None, {"fields": ("name", "type", "address", "brand", "gets")}),)
        known = ("Known", {"fields": ("type_text", "where", "of_whom", "state_text", "why", "last", "waiting")})
        if not self.has_change_permission(request, obj):
            return ((None, {"fields": ("name", "gets_text")}), known)
        return ((None, {"fields": ("name", "address", "gets")}), known)

    def get_readonly_fields(self, request: HttpRequest, obj: Channel | None = None) -> Any:
        """Return what is only shown."""
        if obj is None:
            return ()
        return ("type_text", "where", "of_whom", "state_text", "why", "last", "waiting", "gets_text")

    # The list.

    def add_figures(self, request: HttpRequest, rows: Sequence[Channel]) -> dict[int, Any]:
        """Return what the channels did lately."""
        return queries.channel_figures([row.pk for row in rows])

    @admin.display(description="Type", ordering="type")
    def type_text(self, channel: Channel) -> str:
        """What it is."""
        return capfirst(channel.get_type_display())

    @admin.display(description="Leads to")
    def where(self, channel: Channel) -> SafeString:
        """As much of its address as may be shown."""
        return format_html('<span class="bm-where">{}</span>', channel.shown)

    @admin.display(description="Alerts of", ordering="brand__name")
    def of_whom(self, channel: Channel) -> str:
        """Whose alerts it gets."""
        return "every brand and the installation" if channel.brand is None else str(channel.brand)

    @admin.display(description="State", ordering="state")
    def state_text(self, channel: Channel) -> SafeString:
        """Whether it is on."""
        state = Channel.State(channel.state)
        return words.label(state.label, _TONES[state])

    @admin.display(description="Why")
    def why(self, channel: Channel) -> str:
        """Why it is not on, and since when."""
        if not channel.state_note:
            return words.NONE
        return f"{channel.state_note} {capfirst(words.when(channel.state_since, zone_of(channel.brand)))}."

    @admin.display(description="Gets")
    def gets_text(self, channel: Channel) -> str:
        """Which kinds of alert it gets."""
        return capfirst(", ".join(alerts.LABELS[kind] for kind in _CHOSEN if kind & channel.kinds))

    @admin.display(description="Last delivered")
    def last(self, channel: Channel) -> SafeString | str:
        """When something was delivered last."""
        found = figures(channel)
        return "nothing yet" if found is None or found.last_at is None else words.clock(
            found.last_at, zone_of(channel.brand)
        )  # fmt: skip

    @admin.display(description="Waiting")
    def waiting(self, channel: Channel) -> str:
        """How many deliveries wait."""
        found = figures(channel)
        return "0" if found is None else f"{found.waiting:,}"

    # Actions.

    def get_actions_detail(self, request: HttpRequest, object_id: int | str) -> list[Any]:
        """Return the buttons that fit the state of the channel."""
        row = super().get_object(request, str(object_id))
        fitting = {"send_test", "pause"} if row is not None and row.state == Channel.State.ON else {"resume"}
        if row is not None and row.type == Channel.Type.WEBHOOK:
            fitting |= {"roll_secret"}
        found: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]  # Unfold's
        return [one for one in found if one.action_name.removeprefix("campaigns_channel_") in fitting]

    @action(
        description="Send a test",
        icon="send",
        title="Send a test?",
        explanation="A message that says it is a test goes to this channel.",
        submit="Send",
        form_class=ConfirmForm,
    )
    def send_test(self, request: HttpRequest, form: forms.Form, object_id: str) -> HttpResponse:
        """Send a test message."""

        def verb(row: Channel) -> tuple[str, int]:
            channels.send_test(channel_id=row.pk, now=moment(request))
            return f"A test is on its way to {row}; see under Deliveries what comes of it.", messages.SUCCESS

        return self.act(request, object_id, verb)

    @action(
        description="Roll the secret",
        icon="sync_lock",
        title="Roll the secret?",
        explanation="Messages are signed with a new secret, and for 24 hours with the old one, too: set the new one at "
        "the receiver within that time.",
        submit="Roll",
        form_class=ConfirmForm,
    )
    def roll_secret(self, request: HttpRequest, form: forms.Form, object_id: str) -> HttpResponse:
        """Make a new secret and show it once."""

        def verb(row: Channel) -> tuple[SafeString, int]:
            return _shown_once(channels.roll_secret(channel_id=row.pk, now=moment(request))), messages.WARNING

        return self.act(request, object_id, verb)

    @action(
        description="Pause",
        icon="pause",
        variant=ActionVariant.DANGER,
        title="Pause this channel?",
        explanation="Nothing goes there until it is resumed: what waits for it waits, new alerts pass it by.",
        submit="Pause",
        form_class=ConfirmForm,
    )
    def pause(self, request: HttpRequest, form: forms.Form, object_id: str) -> HttpResponse:
        """Pause it."""

        def verb(row: Channel) -> tuple[str, int]:
            channels.pause_channel(channel_id=row.pk, now=moment(request))
            return f"{row} is paused.", messages.SUCCESS

        return self.act(request, object_id, verb)

    @action(
        description="Switch on",
        icon="play_arrow",
        title="Switch this channel on?",
        explanation="Alerts go there again from now on, and what waits for it first.",
        submit="Switch on",
        form_class=ConfirmForm,
    )
    def resume(self, request: HttpRequest, form: forms.Form, object_id: str) -> HttpResponse:
        """Switch it on again."""

        def verb(row: Channel) -> tuple[str, int]:
            channels.resume_channel(channel_id=row.pk, now=moment(request))
            return f"{row} is on.", messages.SUCCESS

        return self.act(request, object_id, verb)


def _shown_once(secret: str) -> SafeString:
    return format_html("Copy the secret now, it is shown only once: <code>{}</code>", secret)
