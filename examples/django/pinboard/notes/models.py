"""A note."""
# mypy: allow-subclassing-any

from django.db import models


class Note(models.Model):
    COLOURS = {"yellow": "Yellow", "green": "Green", "blue": "Blue", "pink": "Pink"}

    text = models.CharField(max_length=280)
    colour = models.CharField(max_length=10, choices=COLOURS, default="yellow")
    author = models.CharField(max_length=26, help_text="Mattermost's user id")
    pinned = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pinned", "-id"]

    def __str__(self) -> str:
        return str(self.text)[:40]
