"""The page, and the name that the session keeps."""

from html import escape
from pathlib import Path
from string import Template

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse

PAGE = Template((Path(__file__).parent / "page.html").read_text("utf-8"))


async def home(request: Request) -> HTMLResponse:
    values = {
        "name": request.session.get("name", ""),
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
