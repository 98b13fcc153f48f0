"""The web in disguise: granian imports it in each of its workers."""

from tests.chaos import disguise

disguise.put_on()

from budget_management.wsgi import application  # noqa: E402 - the disguise comes first

__all__ = ["application"]
