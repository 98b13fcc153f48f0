"""The door for an ASGI server, for those who already run one."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "budget_management.settings")

application = get_asgi_application()
