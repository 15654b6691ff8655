"""Settings. What is about Mattermost, or has to be right behind it, has a remark."""

import os
import secrets
from pathlib import Path

# Outside the plugin's folder in earnest: Mattermost replaces that with each new version.
DATA = Path(os.environ.get("PINBOARD_DATA") or Path(__file__).resolve().parent.parent / "data")
DATA.mkdir(parents=True, exist_ok=True)


def _kept_secret(path: Path) -> str:
    """A key of this installation, made at its first start."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(50))
    return path.read_text()


SECRET_KEY = os.environ.get("PINBOARD_SECRET_KEY") or _kept_secret(DATA / "secret-key")
DEBUG = os.environ.get("PINBOARD_DEBUG") == "1"
# Mattermost passes on every Host header: name yours, comma-separated.
ALLOWED_HOSTS = os.environ.get("PINBOARD_HOSTS", "*").split(",")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "pinboard.notes",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "mm_asgi.contrib.django.CsrfViewMiddleware",  # for Django's: Mattermost removes the Referer
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "mm_asgi.contrib.django.RemoteUserMiddleware",  # request.user is Mattermost's
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",  # the admin's own users
    "mm_asgi.contrib.django.RemoteUserBackend",
]
ROOT_URLCONF = "pinboard.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA / "pinboard.sqlite3",
        # Writers wait for each other instead of failing.
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL"},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
# Without a leading slash: Django puts the prefix before it, /plugins/com.example.pinboard/.
STATIC_URL = "static/"
