"""Paths and the views behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.staticfiles.views import serve
from django.http import (
    HttpResponse,
    JsonResponse,
    StreamingHttpResponse,
)
from django.templatetags.static import static
from django.urls import path, reverse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def where(request: Any) -> Any:
    return JsonResponse(
        {
            "admin": reverse("admin:index"),
            "static": static("admin/css/base.css"),
            "absolute": request.build_absolute_uri("x"),
            "secure": request.is_secure(),
        }
    )


def count(request: Any) -> Any:
    request.session["count"] = request.session.get("count", 0) + 1
    return HttpResponse(str(request.session["count"]))


async def stream(request: Any) -> Any:
    async def lines() -> AsyncIterator[str]:
        for number in range(1000):
            yield f"line {number}\n"

    return StreamingHttpResponse(lines(), content_type="text/plain")


def fail(request: Any) -> Any:
    raise RuntimeError("the secret of django")


urlpatterns = [
    path("where", where),
    path("count", count),
    path("stream", stream),
    path("fail", fail),
    path("admin/", admin.site.urls),
    path("static/<path:path>", serve, {"insecure": True}),
]
