"""The Django project: settings, and when things run. What the product does is in `campaigns`."""

from budget_management.celery import app as celery_app

__all__ = ["celery_app"]
