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

from mm_asgi.contrib.django import user_id
from pinboard.notes.forms import NoteForm
from pinboard.notes.models import Note


@require_http_methods(["GET", "HEAD", "POST"])
def board(request: HttpRequest) -> HttpResponse:
    form = NoteForm(
        request.POST or None, initial={"colour": request.session.get("colour", "yellow")}
    )
    if request.method == "POST":
        if not request.user.is_authenticated:
            raise PermissionDenied("a POST without a Mattermost user")
        if form.is_valid():
            form.instance.author = request.user.get_username()  # Mattermost's user id
            form.save()
            request.session["colour"] = form.instance.colour  # chosen again next time
            messages.success(request, "Your note is on the board.")
            return redirect("notes:board")
    context = {"notes": Note.objects.all()[:100], "form": form}
    return render(request, "notes/board.html", context)


@require_POST
def remove(request: HttpRequest, note_id: int) -> HttpResponse:
    note = get_object_or_404(Note, id=note_id)
    if note.author != request.user.get_username():
        raise PermissionDenied("somebody else's note")
    note.delete()
    messages.success(request, "Your note is gone.")
    return redirect("notes:board")


@require_GET
async def me(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"id": user_id(request)})


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
