"""import_target, last_line and interface_of: what is found, and the sentence when it is not."""

import functools
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mm_asgi.errors import StartupError
from mm_asgi.importer import import_target, interface_of, last_line

Write = Callable[[str, str], None]

# The modules that these tests write. No example has one of these names: a package with __init__.py
# wins over one without, wherever they stand on sys.path.
OWN = {"stall", "stand", "wsgiref"}


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write modules below tmp_path, the working directory; they are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in [name for name in sys.modules if name.split(".")[0] == "wsgiref"]:
        monkeypatch.delitem(sys.modules, name)

    def write(path: str, text: str) -> None:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    yield write
    for name in [name for name in sys.modules if name.split(".")[0] in OWN]:
        del sys.modules[name]


def failure(target: str, *, factory: bool = False, app_dir: str | None = None) -> StartupError:
    with pytest.raises(StartupError) as caught:
        import_target(target, factory=factory, app_dir=app_dir)
    return caught.value


def test_module_and_attribute(write: Write) -> None:
    write("stall/main.py", "class box:\n    app = 'the app'\n")
    assert import_target("stall.main:box.app") == "the app"


def test_app_dir_comes_first_on_the_path(write: Write, tmp_path: Path) -> None:
    write("first/wsgiref.py", "app = 'ours'")
    assert import_target("wsgiref:app", app_dir="first") == "ours"
    assert sys.path[0] == str(tmp_path / "first")
    import_target("wsgiref:app", app_dir=str(tmp_path / "first"))
    assert sys.path.count(str(tmp_path / "first")) == 1


@pytest.mark.parametrize("app_dir", [None, ""])
def test_without_app_dir_the_working_directory(
    app_dir: str | None, write: Write, tmp_path: Path
) -> None:
    write("stand.py", "app = 1")
    assert import_target("stand:app", app_dir=app_dir) == 1
    assert sys.path[0] == str(tmp_path)


@pytest.mark.parametrize("target", ["", "stall.main", "stall.main:", ":app", "a..b:app", "a:b."])
def test_no_target(target: str) -> None:
    message = f'app: "{target}" was given, expected "module:attribute" such as "shop.main:app"'
    assert str(failure(target)) == message


@pytest.mark.parametrize("target", ["stall/main.py", "stall/main.py:app", "./stall/main.py:"])
def test_a_file_as_target(target: str) -> None:
    assert str(failure(target)).endswith('did you mean "stall.main:app"?')


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("nowhere:app", "No module named 'nowhere'"),
        ("nowhere.main:app", "No module named 'nowhere'"),
        ("stall.nowhere:app", "No module named 'stall.nowhere'"),
        ("stall.main.app:app", "'stall.main' is not a package"),
    ],
)
def test_module_missing(target: str, reason: str, write: Write, tmp_path: Path) -> None:
    write("stall/main.py", "app = 1")
    error = failure(target)
    module = target.partition(":")[0]
    assert str(error).startswith(f'app: the module "{module}" was not found in {tmp_path} or among')
    assert reason in str(error)
    assert error.__cause__ is None


def test_attribute_missing(write: Write) -> None:
    write("stall/main.py", "application = 1")
    assert str(failure("stall.main:aplication")) == (
        'app: the module "stall.main" has no attribute "aplication"; did you mean "application"?'
    )
    assert str(failure("stall.main:xyzzy")).endswith('has no attribute "xyzzy"')


def test_a_module_missing_inside_the_app_is_the_apps_fault(write: Write) -> None:
    write("stall/main.py", "from stall import pay\n")
    write("stall/pay.py", "\n\nimport nowhere_to_be_found\n")
    error = failure("stall.main:app")
    assert str(error) == (
        "app: importing stall.main failed: ModuleNotFoundError: "
        "No module named 'nowhere_to_be_found' (stall/pay.py:3)"
    )
    assert isinstance(error.__cause__, ModuleNotFoundError)
    frames = [frame.filename for frame in traceback.extract_tb(error.__cause__.__traceback__)]
    assert [Path(file).name for file in frames if "stall" in file] == ["main.py", "pay.py"]


def test_a_module_that_fails_to_import_itself_is_not_missing(write: Write) -> None:
    write("stall/main.py", "raise ModuleNotFoundError(\"No module named 'stall.main'\")")
    assert "importing stall.main failed: ModuleNotFoundError" in str(failure("stall.main:app"))


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise BaseException('odd')", "BaseException: odd"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import asyncio; raise asyncio.CancelledError", "asyncio.exceptions.CancelledError"),
    ],
)
def test_anything_that_an_import_raises(statement: str, shown: str, write: Write) -> None:
    write("stall/main.py", statement)
    error = failure("stall.main:app")
    assert str(error) == f"app: importing stall.main failed: {shown} (stall/main.py:1)"
    assert error.__cause__ is not None


def test_a_syntax_error(write: Write) -> None:
    write("stall/main.py", "import stall.views")
    write("stall/views.py", "\n\ndef view(:\n")
    expected = r"SyntaxError: .* \(stall/views.py:3\)$"
    assert re.search(expected, str(failure("stall.main:app")))


def test_a_module_getattr_that_raises(write: Write) -> None:
    write("stall/main.py", "def __getattr__(name):\n    raise SystemExit(name)\n")
    assert str(failure("stall.main:app")) == (
        "app: reading stall.main:app failed: SystemExit: app (stall/main.py:2)"
    )


def test_factory(write: Write) -> None:
    write("stall/main.py", "def create():\n    return 'made'\n")
    assert import_target("stall.main:create", factory=True) == "made"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("create = 3", '"stall.main:create" is a int, expected a function that makes the app'),
        ("async def create(): ...", 'the factory "stall.main:create" is async, expected a plain'),
        (
            "def create(): raise OSError('no database')",
            "the factory stall.main:create failed: OSError: no database (stall/main.py:1)",
        ),
        (
            "def create(settings): ...",
            "the factory stall.main:create failed: TypeError: create() missing 1 required",
        ),
        ("def create(): raise SystemExit", "the factory stall.main:create failed: SystemExit"),
    ],
)
def test_factories_that_fail(code: str, message: str, write: Write) -> None:
    write("stall/main.py", code)
    assert str(failure("stall.main:create", factory=True)).startswith(f"app: {message}")


# -------------------------------------------------------------------- last_line


def raised(error: BaseException) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - any may come
        raise error
    return caught.value


HERE = os.path.dirname(__file__)


def test_last_line_names_the_innermost_own_frame() -> None:
    with pytest.raises(ValueError, match="invalid literal") as caught:
        functools.reduce(lambda _, text: int(text), ["x"], 0)
    assert re.fullmatch(
        r"ValueError: invalid literal for int\(\) with base 10: 'x' \(test_importer.py:\d+\)",
        last_line(caught.value, HERE),
    )


def test_last_line_passes_over_libraries(tmp_path: Path) -> None:
    for place in ("stall.py", ".venv/lib/python3/site-packages/orm.py"):
        file = tmp_path / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    library = compile("def get(): raise OSError('db')", tmp_path / place, "exec")
    own = compile("\nget()", tmp_path / "stall.py", "exec")
    names: dict[str, Any] = {}
    exec(library, names)
    with pytest.raises(OSError, match="db") as caught:
        exec(own, names)
    assert last_line(caught.value, str(tmp_path)) == "OSError: db (stall.py:2)"
    # An app that is an installed package has no frame in the folder.
    assert last_line(caught.value, str(tmp_path / "elsewhere")) == (
        f"OSError: db ({tmp_path / place}:1)"
    )


def test_last_line_without_a_traceback() -> None:
    assert last_line(ValueError("odd")) == "ValueError: odd"
    assert last_line(SyntaxError("odd")) == "SyntaxError: odd"


@pytest.mark.parametrize("harm", [ValueError, SystemExit, RecursionError])
def test_last_line_survives_str_that_raises(harm: type[BaseException]) -> None:
    class Hostile(Exception):
        def __str__(self) -> str:
            raise harm

    assert "Hostile: <exception str() failed>" in last_line(raised(Hostile()))


def test_last_line_is_one_line_of_bounded_length() -> None:
    assert last_line(ValueError("a\n b\r\n\tc")) == "ValueError: a b c"
    error = ValueError("x")
    error.add_note("more")
    assert last_line(error) == "ValueError: x"
    assert len(last_line(ValueError("x" * 10_000))) < 600


def test_last_line_opens_a_group_of_one() -> None:
    one = BaseExceptionGroup("tasks", [ExceptionGroup("more", [KeyError("a")])])
    assert last_line(one) == "KeyError: 'a'"
    two = ExceptionGroup("tasks", [KeyError("a"), KeyError("b")])
    assert last_line(two) == "ExceptionGroup: tasks (2 sub-exceptions)"


# -------------------------------------------------------------------- interface_of


async def asgi_function(scope: object, receive: object, send: object) -> None: ...


async def asgi_with_more(extra: object, scope: object, receive: object, send: object) -> None: ...


def asgi_by_three(scope: object, receive: object, send: object) -> object: ...


def wsgi_function(environ: object, start_response: object) -> object: ...


def wsgi_with_more(extra: object, environ: object, start_response: object) -> object: ...


class ASGIInstance:
    async def __call__(self, scope: object, receive: object, send: object) -> None: ...

    async def method(self, scope: object, receive: object, send: object) -> None: ...


class FlaskLike:
    """As flask.Flask: an instance, called with the two arguments of PEP 3333."""

    def __call__(self, environ: object, start_response: object) -> object: ...


class ASGIEndpoint:
    """As starlette.endpoints.HTTPEndpoint: made for each request, then awaited."""

    def __init__(self, scope: object, receive: object, send: object) -> None: ...


class WSGIClass:
    """As PEP 3333's example: made for each request, then iterated."""

    def __init__(self, environ: object, start_response: object) -> None: ...


def wrapped(app: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(app)
    def wrapper(*args: object) -> object:
        return app(*args)

    return wrapper


@pytest.mark.parametrize(
    ("app", "interface"),
    [
        (asgi_function, "asgi"),
        (asgi_by_three, "asgi"),
        (ASGIInstance(), "asgi"),
        (ASGIInstance().method, "asgi"),
        (ASGIEndpoint, "asgi"),
        (functools.partial(asgi_with_more, 1), "asgi"),
        (wrapped(asgi_function), "asgi"),
        (lambda *args: None, "asgi"),
        (wsgi_function, "wsgi"),
        (FlaskLike(), "wsgi"),
        (WSGIClass, "wsgi"),
        (functools.partial(wsgi_with_more, 1), "wsgi"),
        (wrapped(wsgi_function), "wsgi"),
    ],
)
def test_interface(app: object, interface: str) -> None:
    assert interface_of(app) == interface


def test_interface_of_the_frameworks() -> None:
    django = pytest.importorskip("django.conf")
    from asgiref.wsgi import WsgiToAsgi
    from fastapi import FastAPI
    from starlette.applications import Starlette
    from starlette.endpoints import HTTPEndpoint
    from starlette.middleware.gzip import GZipMiddleware

    django.settings.configured or django.settings.configure()
    from django.core.handlers.asgi import ASGIHandler
    from django.core.handlers.wsgi import WSGIHandler

    for app in (FastAPI(), Starlette(), HTTPEndpoint, GZipMiddleware(Starlette()), ASGIHandler()):
        assert interface_of(app) == "asgi"
    to_asgi: Any = WsgiToAsgi
    assert interface_of(to_asgi(FlaskLike())) == "asgi"
    assert interface_of(WSGIHandler()) == "wsgi"


@pytest.mark.parametrize(
    ("app", "message"),
    [
        (3, "app: the target is a int, expected an ASGI or WSGI callable"),
        (lambda: None, "takes (), expected an ASGI callable (scope, receive, send) or a WSGI"),
        (lambda: None, "(environ, start_response); if it makes the app, set factory"),
        (lambda scope: None, "takes (scope), expected an ASGI callable"),
        (min, "app: min does not tell what arguments it takes"),
    ],
)
def test_neither_interface(app: object, message: str) -> None:
    with pytest.raises(StartupError, match=re.escape(message)):
        interface_of(app)


def test_an_async_function_of_two_is_neither() -> None:
    async def old(receive: object, send: object) -> None: ...

    with pytest.raises(StartupError, match=r"takes \(receive, send\), expected an ASGI callable"):
        interface_of(old)


def test_a_function_that_may_be_called_with_less_is_no_wsgi_app() -> None:
    def make_app(config: object = None, debug: bool = False) -> object: ...

    with pytest.raises(StartupError, match="if it makes the app, set factory"):
        interface_of(make_app)
