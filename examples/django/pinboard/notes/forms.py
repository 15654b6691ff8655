"""The form of a new note."""
# mypy: allow-subclassing-any

from django.forms import ModelForm, Textarea

from pinboard.notes.models import Note


class NoteForm(ModelForm):
    class Meta:
        model = Note
        fields = ["text", "colour"]
        widgets = {
            "text": Textarea(attrs={"rows": 3, "placeholder": "What should everybody know?"})
        }
