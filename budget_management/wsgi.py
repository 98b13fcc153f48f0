"""The door for a WSGI server, which is how the product is served: `granian --interface wsgi`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "budget_management.settings")

application = get_wsgi_application()
