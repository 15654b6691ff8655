"""Paths. All are below the plugin's prefix, which none of them names."""

from django.contrib import admin
from django.contrib.staticfiles.views import serve
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import include, path


def static_file(request: HttpRequest, path: str) -> HttpResponseBase:
    """A static file of an app, also when DEBUG is off. Small files: each is sent in one piece."""
    found = serve(request, path, insecure=True)
    if not found.streaming:
        return found
    try:
        return HttpResponse(found.getvalue(), headers=found.headers)
    finally:
        found.close()


urlpatterns = [
    path("", include("pinboard.notes.urls")),
    path("admin/", admin.site.urls),
    path("static/<path:path>", static_file),
]
