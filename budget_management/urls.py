"""The addresses of the site."""

from django.contrib import admin
from django.urls import include, path

from budget_management.metrics import metrics
from campaigns.admin import entrance
from campaigns.admin.dashboard import live_view
from campaigns.api import api

urlpatterns = [
    path("admin/live/", admin.site.admin_view(live_view), name="admin_live"),
    path("admin/login/", entrance.log_in),  # before the admin's own of the same address
    path("admin/login/code/", entrance.enter_code, name="enter_code"),
    path("admin/login/set-up/", entrance.set_up_factor, name="set_up_factor"),
    path("admin/second-factor/", admin.site.admin_view(entrance.second_factor), name="second_factor"),
    path("admin/", admin.site.urls),
    path("api/v1/", api.urls),
    path("metrics", metrics, name="metrics"),
    path("", include("campaigns.urls")),
]

handler400 = "campaigns.views.bad_request"
handler403 = "campaigns.views.forbidden"
handler404 = "campaigns.views.not_found"
handler500 = "campaigns.views.server_error"
