"""The app: run it as a plugin (plugin.py), or alone (`flask --app lunch.app run`)."""

import csv
import io
import json
from collections.abc import Iterator

from flask import Flask, Response, abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from lunch.poll import LONGEST, MOST, Poll

# A silent stream cannot see that its reader has left: it has to say something now and then.
HEARTBEAT = 2.0  # seconds

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 64 * 1024
poll = Poll()


@app.get("/")
def page() -> str:
    mine = poll.votes().get(request.remote_user or "")
    return render_template("page.html", counts=poll.counts(), user=request.remote_user, mine=mine)


@app.get("/counts")
def counts() -> dict[str, int]:
    return poll.counts()


@app.post("/votes")
def vote() -> AnyResponse:
    user = _user()
    try:
        poll.vote(user, request.form["dish"])
    except KeyError:
        abort(422, "There is no such dish.")
    return redirect(url_for("page"), 303)


@app.post("/menu")
def menu() -> AnyResponse:
    """A text file, one dish a line."""
    _user()
    text = request.files["menu"].read().decode("utf-8", "replace")
    lines = (" ".join(line.split()) for line in text.splitlines())
    dishes = list(dict.fromkeys(line[:LONGEST] for line in lines if line))
    if not 1 <= len(dishes) <= MOST:
        abort(422, f"The menu has {len(dishes)} dishes, expected 1 to {MOST}.")
    poll.replace(dishes)
    return redirect(url_for("page"), 303)


@app.get("/votes.csv")
def table() -> Response:
    """One line for each vote, made while it is sent."""

    def lines() -> Iterator[str]:
        for row in [("user", "dish"), *poll.votes().items()]:
            line = io.StringIO()
            csv.writer(line).writerow(row)
            yield line.getvalue()

    return Response(lines(), mimetype="text/csv")


@app.get("/events")
def events() -> Response:
    """The counts as server-sent events, each time that they change."""

    def stream() -> Iterator[str]:
        for counts in poll.watch(HEARTBEAT):
            yield ": nothing new\n\n" if counts is None else f"data: {json.dumps(counts)}\n\n"

    return Response(stream(), mimetype="text/event-stream", headers={"Cache-Control": "no-cache"})


def _user() -> str:
    """Who asks; Mattermost's name for it is also in the header Mattermost-User-Id."""
    if request.remote_user is None:
        abort(401, "Log in to Mattermost first, and send its CSRF token with a POST.")
    return request.remote_user
