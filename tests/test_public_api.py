"""The names that users may rely on, pinned: a name that comes or goes is seen here first."""

import csv
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mm_asgi
from mm_asgi import types

ROOT = Path(__file__).resolve().parent.parent

PINNED = {
    "mm_asgi.api": ["API", "AsyncAPI"],
    "mm_asgi.autocomplete": ["Choices", "Dynamic", "SubCommand", "Suggestion", "Text"],
    "mm_asgi": ["Plugin", "Reject", "__version__", "errors", "identity", "run"],
    "mm_asgi.contrib.django": [
        "CsrfViewMiddleware",
        "RemoteUserBackend",
        "RemoteUserMiddleware",
        "api",
        "blocking_api",
        "user_id",
    ],
    "mm_asgi.contrib.fastapi": [
        "API",
        "BlockingAPI",
        "CurrentUser",
        "CurrentUserID",
        "OptionalUser",
        "OptionalUserID",
        "docs",
        "require_permission",
    ],
    "mm_asgi.contrib.starlette": [
        "AuthenticationBackend",
        "User",
        "api",
        "blocking_api",
        "get_user",
        "require_permission",
        "require_user",
        "user_id",
    ],
    "mm_asgi.contrib.wsgi": ["WSGIMiddleware", "identity"],
    "mm_asgi.errors": [
        "APIError",
        "AlreadyExists",
        "AppProtocolError",
        "BundleError",
        "ClientDisconnected",
        "ConfigError",
        "HostProtocolError",
        "Internal",
        "InvalidArgument",
        "MMASGIError",
        "NotFound",
        "PermissionDenied",
        "ResourceExhausted",
        "StartupError",
        "Unauthenticated",
        "Unavailable",
        "Unimplemented",
    ],
    "mm_asgi.host": [
        "APICall",
        "AppError",
        "Event",
        "HookAnswer",
        "HookCall",
        "Host",
        "HostError",
        "LogLine",
        "Mattermost",
    ],
    "mm_asgi.servicer": ["Servicer", "add_to_server"],
    "mm_asgi.testing": [
        "Facts",
        "Finding",
        "MM",
        "WireTransport",
        "as_user",
        "check_app",
        "lifespan",
    ],
}


def test_the_types_are_what_calls_and_hooks_carry() -> None:
    """All messages and enums of the contract's tables, without the envelopes of single RPCs."""

    def column(table: str, *names: str) -> set[str]:
        with (ROOT / "proto" / "tables" / table).open() as file:
            return {row[name] for row in csv.DictReader(file, delimiter="\t") for name in names}

    envelopes = column("rpcs.tsv", "request", "response")
    http = {"HTTPHeader", "ServeHTTPRequestInit", "ServeHTTPResponseInit"}
    ours = column("messages.tsv", "message") | column("enums.tsv", "enum")
    # Two answers of more than one field are types too; the rest is google's.
    wanted = ours - envelopes - http - {"Empty"} | {"GetEmojiImageResponse", "PluginHTTPResponse"}
    # Our own, of what released servers alone have.
    data = {f"Autocomplete{kind}Arg" for kind in ("", "Text", "StaticList", "DynamicList")}
    wanted |= data | {"AutocompleteData", "AutocompleteListItem", "SendToastMessageOptions"}
    assert set(types.__all__) == wanted | {"ListValue", "NullValue", "Struct", "Value"}


@pytest.mark.parametrize("name", PINNED)
def test_names(name: str) -> None:
    module = importlib.import_module(name)
    assert sorted(module.__all__) == PINNED[name]
    # Django's parts of auth need a site's settings: tests/unit/contrib/test_django.py has one.
    for public in set(PINNED[name]) - {"RemoteUserBackend", "RemoteUserMiddleware"}:
        assert getattr(module, public) is not None
    assert set(PINNED[name]) <= set(dir(module))


def test_the_face_is_small_and_closed() -> None:
    assert len(mm_asgi.__all__) <= 12
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        mm_asgi.nothing  # noqa: B018


def test_a_name_stays_what_it_is_when_its_module_is_imported() -> None:
    # identity is a function and a module: importing the module must not swap them.
    code = (
        "import mm_asgi, importlib\n"
        "for name in ('identity', 'run', 'Plugin', 'Reject'):\n"
        "    value = getattr(mm_asgi, name)\n"
        "    importlib.import_module(value.__module__)\n"
        "    assert callable(value) and getattr(mm_asgi, name) is value, name\n"
        "from mm_asgi import identity\n"
        "assert callable(identity), identity\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_identity_is_the_function_also_after_the_server_was_imported() -> None:
    code = (
        "import mm_asgi.process.front, mm_asgi; assert callable(mm_asgi.identity), mm_asgi.identity"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_the_package_costs_next_to_nothing() -> None:
    code = (
        "import sys, mm_asgi\n"
        "heavy = {'asyncio', 'grpc', 'google.protobuf', 'logging'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_version_is_the_changelogs_top() -> None:
    tops = re.findall(r"^## \[?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert tops[0] == mm_asgi.__version__
