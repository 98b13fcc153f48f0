"""The addresses of the pages for people and probes."""

from django.urls import path

from campaigns import views

urlpatterns = [
    path("", views.home, name="home"),
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
]
