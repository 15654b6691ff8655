"""The app's paths."""

from django.urls import path

from pinboard.notes import views

app_name = "notes"
urlpatterns = [
    path("", views.board, name="board"),
    path("notes/<int:note_id>/remove", views.remove, name="remove"),
    path("notes.csv", views.export, name="export"),
    path("me", views.me, name="me"),
]
