"""The way in for people: name and password, then the second factor.

Whoever has given a password only is nobody yet: the session says who wants to come in, and no door but the pages of
this module looks at that. What a complete session rests on is written into it, and compared with what is there at every
request, so that setting a second factor up or resetting it ends every session from before.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, cast
from zoneinfo import ZoneInfo

from allauth.mfa.adapter import get_adapter
from axes.handlers.proxy import AxesProxyHandler
from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth import SESSION_KEY, authenticate, login, logout
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_login_failed
from django.contrib.auth.views import LoginView
from django.contrib.sessions.models import Session
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.crypto import constant_time_compare, salted_hmac
from django.views.decorators.cache import never_cache
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from campaigns.admin import words
from campaigns.admin.base import moment
from campaigns.gateways import sealing
from campaigns.queries import people
from campaigns.rules.errors import BudgetError
from campaigns.services import attempts, factors
from campaigns.services.factors import Factor, Proof

ENTERING, SECRET, FACTOR = "entering", "second_factor_secret", "second_factor"
"""What a session holds: who wants to come in, the secret that is being set up, the factor that a login rests on."""

PATIENCE = timedelta(minutes=10)
"""How long a password is good for while the second factor is asked for."""

WRONG_CODE = "This code is not right, or was used before. Wait for the next one and try again."
_BACKEND = "campaigns.admin.entrance.People"
_NAMES = "campaigns.counted_names"

GetResponse = Callable[[HttpRequest], HttpResponse]


# --- Who it is -----------------------------------------------------------------------------------


class People(ModelBackend):
    """Knows people by name and password, and finds them with their second factor."""

    def get_user(self, user_id: int) -> User | None:
        """Return the person of a session, whose `factor_id` is that of their second factor."""
        user = people.with_factor(user_id)
        return user if user is not None and self.user_can_authenticate(user) else None


def end_incomplete_sessions(get_response: GetResponse) -> GetResponse:
    """Log whoever out whose session does not rest on the second factor that the person has now, or has to have."""

    def middleware(request: HttpRequest) -> HttpResponse:
        # Without a cookie there is nobody, and the API's answers need not say that they depend on one.
        if settings.SESSION_COOKIE_NAME in request.COOKIES and not _is_complete(request):
            logout(request)
        return get_response(request)

    return middleware


def _is_complete(request: HttpRequest) -> bool:
    if SESSION_KEY not in request.session or not request.user.is_authenticated:
        return True
    factor_id = getattr(request.user, "factor_id", None)
    has_enough = factor_id is not None or not settings.REQUIRE_SECOND_FACTOR
    return has_enough and request.session.get(FACTOR) == factor_id


def client_address(request: HttpRequest) -> str | None:
    """Return the address that failures are counted under.

    Behind a proxy it is the last one in X-Forwarded-For: the proxy has added it, those before may be made up.
    """
    address = request.META.get("REMOTE_ADDR", "")
    if settings.BEHIND_PROXY:
        address = request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip() or address
    return attempts.network(address)


def counted_name(request: HttpRequest, credentials: dict[str, Any] | None) -> str:
    """Return the name by which failures are counted and logged.

    A name that nobody has is counted as a hash: it may be a password, typed one field too early.
    """
    name = str((credentials or {}).get("username") or request.POST.get("username", ""))
    known = cast("dict[str, str]", request.META.setdefault(_NAMES, {}))
    if name not in known:
        digest = salted_hmac("campaigns.counted_name", name, algorithm="sha256").hexdigest()
        known[name] = name if people.is_name(name) else f"unknown:{digest[:16]}"
    return known[name]


def locked_out(request: HttpRequest, _: HttpResponseBase, credentials: dict[str, Any] | None) -> HttpResponse:
    """Say that too many logins have failed, and for how long to wait."""
    until = AxesProxyHandler.get_implementation().locked_until(request, credentials)
    return _wait(request, until or moment(request) + settings.AXES_COOLOFF_TIME)


def _wait(request: HttpRequest, until: datetime) -> HttpResponse:
    left = max(1, int((until - moment(request)).total_seconds()))
    context = {"until": words.when(until, ZoneInfo(settings.TIME_ZONE)), "minutes": -(-left // 60)}
    page = _page(request, "locked", "Too many failed logins", **context)
    page.status_code = HTTPStatus.TOO_MANY_REQUESTS
    page["Retry-After"] = str(left)
    return page.render()


def _page(request: HttpRequest, template: str, title: str, **context: object) -> TemplateResponse:
    context = {**admin.site.each_context(request), "title": title, **context}
    return TemplateResponse(request, f"campaigns/admin/entrance/{template}.html", context)


# --- Name and password ---------------------------------------------------------------------------


class _LogIn(LoginView):
    template_name = "admin/login.html"

    def get_form_class(self) -> Any:
        return admin.site.login_form

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        shown = {**admin.site.each_context(self.request), "title": "Log in", "app_path": self.request.get_full_path()}
        return {**super().get_context_data(**kwargs), **shown}

    def form_valid(self, form: Any) -> HttpResponse:
        return _admit(self.request, form.get_user(), self.get_success_url())  # never another host


@never_cache
def log_in(request: HttpRequest) -> HttpResponseBase:
    """Ask for name and password."""
    if request.method == "GET" and admin.site.has_permission(request):
        return redirect("admin:index")
    return _LogIn.as_view()(request)


def _admit(request: HttpRequest, user: User, following: str) -> HttpResponse:
    """Let somebody in whose password was right, or ask for the second factor."""
    factor_id = people.factor_of(user.pk)
    if factor_id is None and not settings.REQUIRE_SECOND_FACTOR:
        return _let_in(request, user, None, following)
    request.session.flush()  # a session that somebody else may have begun takes no part in what follows
    request.session[ENTERING] = {
        "user": user.pk,
        "hash": user.get_session_auth_hash(),
        "since": moment(request).isoformat(),
        "next": following,
    }
    return redirect("set_up_factor" if factor_id is None else "enter_code")


def _let_in(request: HttpRequest, user: User, factor_id: int | None, following: str) -> HttpResponse:
    login(request, user, backend=_BACKEND)
    for name in (ENTERING, SECRET):
        request.session.pop(name, None)
    request.session[FACTOR] = factor_id
    Session.objects.filter(expire_date__lt=moment(request)).delete()  # nothing else clears them away
    return HttpResponseRedirect(following)


@dataclass(frozen=True)
class _Entering:
    """Somebody whose password was right a moment ago."""

    user: User
    following: str


def _entering(request: HttpRequest) -> _Entering | None:
    wish = request.session.get(ENTERING)
    if wish is None or moment(request) - datetime.fromisoformat(wish["since"]) > PATIENCE:
        return None
    user = people.with_factor(wish["user"])
    if user is None or not (user.is_active and user.is_staff):
        return None
    if not constant_time_compare(user.get_session_auth_hash(), wish["hash"]):  # the password was changed meanwhile
        return None
    return _Entering(user=user, following=wish["next"])


# --- The second factor ---------------------------------------------------------------------------


class CodeForm(forms.Form):
    """Asks for a code."""

    code = forms.CharField(
        label="Code",
        max_length=40,
        strip=True,
        help_text="Six digits from your authenticator app, or one of your recovery codes.",
        widget=UnfoldAdminTextInputWidget(
            {"autocomplete": "one-time-code", "inputmode": "numeric", "spellcheck": "false", "autofocus": True}
        ),
    )


class FirstCodeForm(CodeForm):
    """Asks for the first code of an app."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["code"].help_text = "The six digits that the app shows now."


class PasswordAndCodeForm(FirstCodeForm):
    """Asks for the password beside it: the session alone may be somebody else's."""

    password = forms.CharField(
        label="Your password", strip=False, widget=UnfoldAdminPasswordWidget({"autocomplete": "current-password"})
    )
    field_order = ("password", "code")


@never_cache
def enter_code(request: HttpRequest) -> HttpResponse:
    """Ask for a code, and let in whoever has one."""
    entering = _entering(request)
    if entering is None or people.factor_of(entering.user.pk) is None:
        return redirect("admin:login")
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        answer = _proved(request, entering.user, form)
        if isinstance(answer, HttpResponse):
            return answer
        if answer is not None:
            if answer is Proof.RECOVERY:
                messages.warning(request, _used_up(entering.user))
            return _let_in(request, entering.user, people.factor_of(entering.user.pk), entering.following)
    return _page(request, "code", "Second factor", form=form, name=entering.user.get_username())


def _proved(request: HttpRequest, user: User, form: forms.Form) -> Proof | HttpResponse | None:
    """Try the code of a form: what it proved, or an answer where there is nothing to try, or None and the form says it.

    A wrong one counts as a failed login, too.
    """
    who = {"username": user.get_username()}
    if not AxesProxyHandler.is_allowed(request, who):
        return locked_out(request, HttpResponse(), who)
    lock = settings.AXES_COOLOFF_TIME
    try:
        proof = factors.prove(user_id=user.pk, code=form.cleaned_data["code"], lock=lock, now=moment(request))
    except BudgetError as error:
        form.add_error("code", str(error))
        return None
    if proof is Proof.TOO_MANY:
        return _wait(request, moment(request) + lock)
    if proof is Proof.WRONG:
        user_login_failed.send(sender=__name__, credentials=who, request=request)
        form.add_error("code", WRONG_CODE)
        return None
    return proof


def _used_up(user: User) -> str:
    left = factors.recovery_codes_left(user_id=user.pk)
    number = "no recovery code" if not left else "1 recovery code" if left == 1 else f"{left} recovery codes"
    return f"That recovery code is used up; you have {number} left. Make new ones under Second factor."


@never_cache
def set_up_factor(request: HttpRequest) -> HttpResponse:
    """Show a new secret as a picture, and make it the second factor of whoever has it in an app."""
    inside = request.user.is_authenticated
    entering = None if inside else _entering(request)
    user = cast("User", request.user) if inside else entering.user if entering else None
    if user is None or (inside and not admin.site.has_permission(request)):
        return redirect("admin:login")
    if people.factor_of(user.pk) is not None:
        return redirect("second_factor" if inside else "enter_code")
    form = (PasswordAndCodeForm if inside else FirstCodeForm)(request.POST or None)
    secret = _secret(request)
    if request.method == "POST" and form.is_valid() and _knows_password(request, form):
        factor = _set_up(request, user, secret, form)
        if factor is not None:
            following = entering.following if entering else reverse("second_factor")
            _let_in(request, user, factor.id, following)
            return _codes(request, factor.recovery_codes, following)
    return _page(request, "set_up", "Set up the second factor", form=form, **_shown(user, secret), inside=inside)


def _secret(request: HttpRequest) -> str:
    """The secret that is being set up in this session; reloading the page makes no other."""
    try:
        return sealing.unseal(request.session[SECRET])
    except (KeyError, sealing.SealError):
        secret = factors.new_secret()
        request.session[SECRET] = sealing.seal(secret)
        return secret


def _shown(user: User, secret: str) -> dict[str, str]:
    adapter = get_adapter()
    address: str = adapter.build_totp_url(user, secret)
    picture = base64.b64encode(adapter.build_totp_svg(address).encode()).decode()
    spaced = " ".join(secret[start : start + 4] for start in range(0, len(secret), 4))
    return {"address": address, "picture": f"data:image/svg+xml;base64,{picture}", "secret": spaced}


def _knows_password(request: HttpRequest, form: forms.Form) -> bool:
    if "password" not in form.cleaned_data:
        return True
    name = request.user.get_username()
    if authenticate(request, username=name, password=form.cleaned_data["password"]) is not None:
        return True
    form.add_error("password", "This is not your password.")
    return False


def _set_up(request: HttpRequest, user: User, secret: str, form: forms.Form) -> Factor | None:
    try:
        code = form.cleaned_data["code"]
        factor = factors.set_up(user_id=user.pk, secret=secret, code=code, now=moment(request))
    except BudgetError as error:
        form.add_error("code", str(error))
        return None
    if factor is None:
        form.add_error("code", "This code is not right. Look whether the clock of the phone is, and try the next one.")
    return factor


def _codes(request: HttpRequest, codes: list[str], following: str) -> HttpResponse:
    spaced = [f"{code[:4]} {code[4:]}" for code in codes]
    return _page(request, "codes", "Your recovery codes", codes=spaced, following=following)


@never_cache
def second_factor(request: HttpRequest) -> HttpResponse:
    """Show somebody their own second factor, make new recovery codes, and take it away."""
    user = cast("User", request.user)
    form = CodeForm(request.POST or None)
    if request.method == "POST" and people.factor_of(user.pk) is not None and form.is_valid():
        answer = _proved(request, user, form)
        if isinstance(answer, HttpResponse):
            return answer
        if answer is not None:
            return _take_away(request, user) if "remove" in request.POST else _renewed(request, user)
    made = people.factors_of([user.pk]).get(user.pk)
    context = {
        "form": form,
        "made": made and words.when(made, ZoneInfo(settings.TIME_ZONE)),
        "left": factors.recovery_codes_left(user_id=user.pk) if made else 0,
        "required": settings.REQUIRE_SECOND_FACTOR,
    }
    return _page(request, "second_factor", "Second factor", **context)


def _renewed(request: HttpRequest, user: User) -> HttpResponse:
    return _codes(request, factors.renew_recovery_codes(user_id=user.pk), reverse("second_factor"))


def _take_away(request: HttpRequest, user: User) -> HttpResponse:
    factors.reset(user_ids=[user.pk])
    if settings.REQUIRE_SECOND_FACTOR:
        return _admit(request, user, reverse("second_factor"))
    request.session[FACTOR] = None
    messages.success(request, "The second factor was taken away. Your password alone lets you in now.")
    return redirect("second_factor")
