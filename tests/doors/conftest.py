"""Who comes to the pages: somebody who may do everything. A test of what others may do makes its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.test import Client

if TYPE_CHECKING:  # the process that only directs the others has no settings, so no models
    from django.contrib.auth.models import User


@pytest.fixture
def anna(db: None) -> User:
    from django.contrib.auth.models import User

    return User.objects.create_superuser("anna")


@pytest.fixture
def client(anna: User) -> Client:
    client = Client()
    client.force_login(anna)
    return client
