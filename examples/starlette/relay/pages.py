"""The page, and the name that the session keeps."""

from html import escape
from pathlib import Path
from string import Template

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse

from mm_asgi.contrib.starlette import api
from mm_asgi.errors import APIError

PAGE = Template((Path(__file__).parent / "page.html").read_text("utf-8"))


async def name_of(request: Request) -> str:
    """The user's name in Mattermost; without its API (uvicorn, tests) the id."""
    if not request.user.is_authenticated:
        return "somebody"
    try:
        found = await api().get_user(user_id=request.user.id)
    except APIError:
        return str(request.user.display_name)
    return found.username


async def home(request: Request) -> HTMLResponse:
    values = {
        "name": request.session.get("name", ""),
        "user": await name_of(request),
        "sent": request.session.get("sent", 0),
        "set_name": request.url_for("set_name"),
        "activity": request.url_for("activity"),
        "live": request.url_for("live"),
        "css": request.url_for("static", path="relay.css"),
        "js": request.url_for("static", path="relay.js"),
        "icon": request.url_for("static", path="icon.svg"),
    }
    return HTMLResponse(PAGE.substitute({key: escape(str(text)) for key, text in values.items()}))


async def set_name(request: Request) -> RedirectResponse:
    async with request.form() as form:
        name = str(form.get("name", "")).strip()[:40]
    if name:
        request.session["name"] = name
    else:
        request.session.clear()
    return RedirectResponse(request.url_for("home"), status_code=303)
