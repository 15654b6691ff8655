"""From a target such as ``shop.main:app`` to the object, with a sentence for each way to fail.

Every failure becomes a `StartupError` with a text that an admin can act on; the exception of the
app's own code is its ``__cause__``, with the traceback. Nothing is started here.
"""

import functools
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, Literal

from mm_asgi.errors import StartupError

__all__ = ["import_target", "interface_of", "last_line"]

# The admin's screen is a toast, not a page; some libraries raise whole reports.
LONGEST_TEXT = 500


def import_target(target: str, *, factory: bool = False, app_dir: str | None = None) -> object:
    """Return the object that ``module:attribute`` names; with ``factory`` call it first.

    Args:
        target: the attribute may be dotted.
        factory: call the attribute, without arguments.
        app_dir: put first on sys.path; the working directory when not given or empty.
    """
    folder = os.path.abspath(app_dir or "")
    module_name, colon, attribute = target.partition(":")
    complete = colon and all(module_name.split(".")) and all(attribute.split("."))
    if not complete or _is_file(module_name):
        raise StartupError(
            f'app: "{target}" was given, expected "module:attribute" such as "shop.main:app"'
            + _file_hint(target)
        )
    if sys.path[:1] != [folder]:
        sys.path.insert(0, folder)
    module = _import_module(module_name, folder)
    value = _attribute(module, module_name, attribute, folder)
    return _made(value, target, folder) if factory else value


def last_line(exc: BaseException, app_dir: str | None = None) -> str:
    """Return one line for the admin about an exception.

    It has the type, the text, and the innermost line of the user's own code:
    ``ModuleNotFoundError: No module named 'stripe' (shop/pay.py:3)``.
    """
    # Imported here: only a failure needs it.
    import traceback

    while isinstance(exc, BaseExceptionGroup) and len(exc.exceptions) == 1:
        # What a TaskGroup wraps around the one thing that failed.
        exc = exc.exceptions[0]
    if isinstance(exc, SyntaxError):
        text = f"{type(exc).__name__}: {exc.msg}"
    else:
        # It also survives a __str__ that raises.
        lines = traceback.TracebackException(type(exc), exc, None).format_exception_only()
        text = " ".join(next(lines).split())
    place = _place(exc, os.path.abspath(app_dir or ""))
    return f"{_cut(text)} ({place})" if place else _cut(text)


def interface_of(app: object) -> Literal["asgi", "wsgi"]:
    """Return the interface that an app speaks, judged by its parameters.

    Three positional arguments (scope, receive, send) mean ASGI. Two that must be given (environ,
    start_response), and no coroutine function, mean WSGI: what can be called with fewer is a
    function that makes the app. A class counts as what calling the class takes.
    """
    name = getattr(app, "__qualname__", type(app).__qualname__)
    if not callable(app):
        raise StartupError(f"app: the target is a {name}, expected an ASGI or WSGI callable")
    try:
        signature = inspect.signature(app)
    except (TypeError, ValueError):
        raise StartupError(
            f"app: {name} does not tell what arguments it takes, expected an ASGI or WSGI "
            "callable; set interface to asgi or wsgi"
        ) from None
    if _takes(signature, 3):
        return "asgi"
    if _takes(signature, 2) and not _takes(signature, 1) and not _is_async(app):
        return "wsgi"
    hint = "; if it makes the app, set factory" if _takes(signature, 0) else ""
    takes = _cut(", ".join(signature.parameters))
    raise StartupError(
        f"app: the target {name} takes ({takes}), expected an ASGI callable "
        f"(scope, receive, send) or a WSGI callable (environ, start_response){hint}"
    )


def _import_module(name: str, folder: str) -> object:
    try:
        return importlib.import_module(name)
    # An app may raise anything, SystemExit too.
    except BaseException as exc:
        if isinstance(exc, ModuleNotFoundError) and not any(_user_lines(exc)):
            raise StartupError(
                f'app: the module "{name}" was not found in {folder} or among the installed '
                f"packages ({exc})"
            ) from None
        raise _failed(f"importing {name}", exc, folder) from exc


def _attribute(module: object, module_name: str, path: str, folder: str) -> object:
    value = module
    for name in path.split("."):
        try:
            value = getattr(value, name)
        except AttributeError as exc:
            raise StartupError(
                f'app: the module "{module_name}" has no attribute "{path}"{_closest(value, name)}'
            ) from exc
        except BaseException as exc:
            raise _failed(f"reading {module_name}:{path}", exc, folder) from exc
    return value


def _made(factory: object, target: str, folder: str) -> object:
    if not callable(factory):
        raise StartupError(
            f'app: "{target}" is a {type(factory).__qualname__}, expected a function that makes '
            "the app; is the setting factory right?"
        )
    if _is_async(factory):
        raise StartupError(f'app: the factory "{target}" is async, expected a plain function')
    try:
        return factory()
    except BaseException as exc:
        raise _failed(f"the factory {target}", exc, folder) from exc


def _failed(what: str, exc: BaseException, folder: str) -> StartupError:
    if isinstance(exc, StartupError):  # the time limit's, which is no exception of the app's
        place = _place(exc, folder)
        return StartupError(f"{exc}; it was at {place}" if place else str(exc))
    return StartupError(f"app: {what} failed: {last_line(exc, folder)}")


def _is_file(module: str) -> bool:
    return module.endswith(".py") or "/" in module


def _file_hint(target: str) -> str:
    """Return a hint for a target that is a path, as python's own argument is; else nothing."""
    path, _, attribute = target.partition(":")
    if not _is_file(path):
        return ""
    module = path.removesuffix(".py").strip("./").replace("/", ".")
    return f'; did you mean "{module}:{attribute or "app"}"?'


def _closest(value: object, name: str) -> str:
    # Imported here: only a mistake needs it.
    import difflib

    matches = difflib.get_close_matches(name, dir(value), n=1)
    return f'; did you mean "{matches[0]}"?' if matches else ""


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def _is_async(value: Callable[..., Any]) -> bool:
    while isinstance(value, functools.partial):
        value = value.func
    call = getattr(type(value), "__call__", None)  # noqa: B004 - the function, not whether
    return inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(call)


def _place(exc: BaseException, folder: str) -> str:
    """Return where in the user's code an exception arose: ``shop/pay.py:3``, or nothing."""
    if isinstance(exc, SyntaxError) and exc.filename:
        return _from(folder, exc.filename, exc.lineno)
    lines = list(_user_lines(exc))
    own = [line for line in lines if _is_below(folder, line[0])]
    # An app that is an installed package has no line below the folder.
    return _from(folder, *(own or lines)[-1]) if lines else ""


def _user_lines(exc: BaseException) -> Iterator[tuple[str, int | None]]:
    """Yield file and line of each frame but importlib's and this package's, outermost first."""
    trace = exc.__traceback__
    skipped = ("<frozen ", os.path.dirname(__file__) + os.sep, os.path.dirname(importlib.__file__))
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith(skipped):
            yield file, trace.tb_lineno
        trace = trace.tb_next


def _is_below(folder: str, file: str) -> bool:
    """Return whether a file is the user's: in the folder, but not in a library kept there."""
    start = folder.rstrip(os.sep) + os.sep
    parts = file.removeprefix(start).split(os.sep)
    return file.startswith(start) and not {"site-packages", "dist-packages"} & set(parts)


def _from(folder: str, file: str, line: int | None) -> str:
    shown = os.path.relpath(file, folder) if _is_below(folder, file) else file
    return f"{shown}:{line}" if line else shown


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + "..."
