"""The product as the browser tests run it, and the people who use it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.core.management.commands import flush
from django.db import connection
from django.test import Client
from playwright.sync_api import Page

from campaigns.management import embedded, probe
from campaigns.models import Brand, BrandLimit
from tests.doors.running import database_url
from tests.servers import free_port, running, wait_until

KEPT = {"django_content_type", "auth_permission", "auth_group", "auth_group_permissions", "django_migrations"}
"""Tables that migrations fill; the web has learned their ids."""

OpensPages = Callable[..., Page]
"""Opens a page for a person or a visitor: `open_page(person, dark=..., phone=...)`."""


@dataclass(frozen=True)
class Site:
    """The product as it runs: where it answers, and its programs with their environment."""

    url: str
    commands: dict[str, Sequence[str]]
    environment: dict[str, str]


@contextmanager
def site(valkey_url: str, log: Path) -> Iterator[Site]:
    """Run the web as `manage.py up` starts it, on the test's database."""
    port = free_port()
    # DATA_DIR stays the session's: its key signs the sessions, here as there.
    environment = {**os.environ, "DATABASE_URL": database_url(), "REDIS_URL": valkey_url}
    environment |= {"ENFORCE_INTERVAL_SECONDS": "1", "ROLLOVER_INTERVAL_SECONDS": "1"}
    manage = settings.BASE_DIR / "manage.py"
    programs = embedded.application(manage=manage, host="127.0.0.1", port=port, environment=environment)
    commands = {program.name: program.command for program in programs}
    with running(commands["web"], environment=environment, log=log) as web, _own_flush():
        web.wait_for("Started worker")
        answers = partial(probe.answers, port, timeout=5)
        wait_until(answers, within=30, every=0.2, what=f"an answer of the web, whose log is {log}")
        yield Site(f"http://127.0.0.1:{port}", commands, environment)


@contextmanager
def _own_flush() -> Iterator[None]:
    """Let the flush after a test leave what migrations have put into the tables.

    Django's own gives content types new ids, of which the running web would not hear.
    """

    def handle(self: flush.Command, **options: object) -> None:
        with connection.cursor() as cursor:
            tables = set(connection.introspection.django_table_names(only_existing=True)) - KEPT
            cursor.execute(f"TRUNCATE {', '.join(sorted(tables))}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flush.Command, "handle", handle)
        yield


def person(name: str, *, role: str | None = None, brands: Sequence[Brand] | None = None, **fields: Any) -> User:
    """Make a person of a role; without one, a superuser. brands: the only ones that the person may see."""
    if role is None:
        return User.objects.create_superuser(name, **fields)
    made = User.objects.create_user(name, is_staff=True, **fields)
    made.groups.add(Group.objects.get(name=role))
    if brands is not None:
        BrandLimit.objects.create(user=made).brands.set(brands)
    return made


def session(person: User) -> str:
    """Log a person in and return the key of the session."""
    client = Client()
    client.force_login(person)
    return client.cookies[settings.SESSION_COOKIE_NAME].value
