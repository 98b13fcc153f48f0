"""The addresses of the site."""

from django.contrib import admin
from django.urls import include, path

from budget_management.metrics import metrics
from campaigns.admin.dashboard import live_view
from campaigns.api import api

urlpatterns = [
    path("admin/live/", admin.site.admin_view(live_view), name="admin_live"),
    path("admin/", admin.site.urls),
    path("api/v1/", api.urls),
    path("metrics", metrics, name="metrics"),
    path("", include("campaigns.urls")),
]

handler400 = "campaigns.views.bad_request"
handler403 = "campaigns.views.forbidden"
handler404 = "campaigns.views.not_found"
handler500 = "campaigns.views.server_error"
