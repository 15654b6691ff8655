"""Notes in the admin."""
# mypy: allow-subclassing-any, allow-untyped-decorators

from django.contrib import admin

from pinboard.notes.models import Note


@admin.register(Note)
class NoteAdmin(admin.ModelAdmin):
    list_display = ["text", "author", "colour", "pinned"]
    list_filter = ["colour", "author"]
    search_fields = ["text"]
