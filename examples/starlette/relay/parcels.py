"""A parcel's two ends: PUT sends it, GET receives it, at the same time."""

from urllib.parse import quote

import anyio
from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from relay.pages import name_of
from relay.store import Parcel, Relay

PATIENCE = 120.0  # seconds that a sender waits for a receiver


class ParcelEndpoint(HTTPEndpoint):
    async def put(self, request: Request) -> Response:
        """The answer comes when the last byte has been received."""
        relay: Relay = request.state.relay
        name = request.path_params["name"]
        length = request.headers.get("content-length")
        sender = request.session.get("name") or await name_of(request)
        if relay.find(name):
            raise HTTPException(409, "a parcel of this name is on its way")
        parcel = relay.offer(name, sender, None if length is None else int(length))
        try:
            await parcel.fill(request.stream(), PATIENCE)
        except TimeoutError:
            raise HTTPException(408, "nobody came for it") from None
        except anyio.BrokenResourceError:
            raise HTTPException(410, "the receiver left before the end") from None
        except ClientDisconnect:
            return Response(status_code=400)  # for the log: nobody is there to read it
        request.session["sent"] = request.session.get("sent", 0) + 1
        return JSONResponse(parcel.facts())

    async def get(self, request: Request) -> Response:
        parcel = _waiting(request)
        parcel.state = "moving"
        return StreamingResponse(parcel.empty(), headers=_headers(parcel))

    async def head(self, request: Request) -> Response:
        return Response(headers=_headers(_waiting(request)))


async def latest(request: Request) -> Response:
    """To the newest parcel that waits: `curl -LOJ .../latest`."""
    relay: Relay = request.state.relay
    parcel = relay.newest()
    if parcel is None:
        raise HTTPException(404, "nothing waits")
    return RedirectResponse(parcel_url(request, parcel.name))


def parcel_url(request: Request, name: str) -> str:
    # url_for puts a parameter into the path as it is.
    return str(request.url_for("parcel", name=quote(name, safe="")))


def _waiting(request: Request) -> Parcel:
    relay: Relay = request.state.relay
    parcel = relay.find(request.path_params["name"])
    if parcel is None or parcel.state != "waiting":
        raise HTTPException(404, "no such parcel waits")
    return parcel


def _headers(parcel: Parcel) -> dict[str, str]:
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": f"attachment; filename*=utf-8''{quote(parcel.name, safe='')}",
    }
    if parcel.length is not None:
        headers["Content-Length"] = str(parcel.length)
    return headers
