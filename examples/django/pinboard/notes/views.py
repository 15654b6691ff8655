"""Views: sync ones run in threads, async ones in the event loop."""
# mypy: allow-untyped-decorators

import csv
from collections.abc import AsyncIterator
from io import StringIO

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from pinboard.notes.forms import NoteForm
from pinboard.notes.models import Note


def user_of(request: HttpRequest) -> str:
    """The Mattermost user's id; empty: not logged in. Mattermost sets this header, no client can."""
    return str(request.headers.get("Mattermost-User-Id", ""))


@require_http_methods(["GET", "HEAD", "POST"])
def board(request: HttpRequest) -> HttpResponse:
    user = user_of(request)
    form = NoteForm(
        request.POST or None, initial={"colour": request.session.get("colour", "yellow")}
    )
    if request.method == "POST":
        if not user:
            raise PermissionDenied("a POST without a Mattermost user")
        if form.is_valid():
            form.instance.author = user
            form.save()
            request.session["colour"] = form.instance.colour  # chosen again next time
            messages.success(request, "Your note is on the board.")
            return redirect("notes:board")
    context = {"notes": Note.objects.all()[:100], "form": form, "mattermost_user": user}
    return render(request, "notes/board.html", context)


@require_POST
def remove(request: HttpRequest, note_id: int) -> HttpResponse:
    note = get_object_or_404(Note, id=note_id)
    if note.author != user_of(request):
        raise PermissionDenied("somebody else's note")
    note.delete()
    messages.success(request, "Your note is gone.")
    return redirect("notes:board")


@require_GET
async def me(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"id": user_of(request) or None})


@require_GET
async def export(request: HttpRequest) -> StreamingHttpResponse:
    """All notes, however many: a line leaves when it has been read from the database."""
    headers = {"Content-Disposition": 'attachment; filename="notes.csv"'}
    return StreamingHttpResponse(_lines(), content_type="text/csv; charset=utf-8", headers=headers)


async def _lines() -> AsyncIterator[str]:
    yield "pinned,author,colour,text\r\n"
    async for note in Note.objects.aiterator(chunk_size=100):
        line = StringIO()
        csv.writer(line).writerow([note.pinned.isoformat(), note.author, note.colour, note.text])
        yield line.getvalue()
