"""Sends Python's logging to the host's log, with level, logger name, request, user and extra facts.

A record becomes one line of hclog's JSON, which the host logs at its level. Nothing here adds
secrets: environment variables, headers, bodies and queries are never part of a line unless the app
logs them itself. Each plugin inherits the host's environment, with its database password: do not
log ``os.environ``.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any

from mm_asgi.errors import ConfigError
from mm_asgi.observe.context import LOG_CONTEXT
from mm_asgi.observe.hclog import encode, safe_text

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "TRACE",
    "HclogFormatter",
    "HclogHandler",
    "adopt_stream_handlers",
    "configure_logging",
    "level_number",
]

TRACE = 5
"""A level below DEBUG, which hclog and uvicorn have and logging has not."""

_LEVELS = {
    "trace": TRACE,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "panic": logging.CRITICAL,
    "fatal": logging.CRITICAL,
}

# The attributes that logging itself sets on a record; taskName is new in 3.12.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

_logger = logging.getLogger("mm_asgi.logs")


class HclogFormatter(logging.Formatter):
    """Formats a record as one line of hclog's JSON; never raises and never loses the record."""

    def format(self, record: logging.LogRecord) -> str:
        return self.line(record).decode()

    def line(self, record: logging.LogRecord) -> bytes:
        """Return the line in bytes without its newline; with it, it has at most 64 KiB."""
        fields: dict[str, object] = {}
        context = LOG_CONTEXT.get()
        if context is not None:
            fields["request_id"] = context.request_id
            if context.user_id is not None:
                fields["user_id"] = context.user_id
        message = _message(record, fields)
        fields |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        exception = _exception(record)
        if exception:
            fields["exception"] = exception
        if isinstance(record.stack_info, str):
            fields["stack"] = record.stack_info
        return encode(
            _level(record.levelno),
            safe_text(record.name),
            message,
            created=record.created,
            fields=fields,
        )


class HclogHandler(logging.Handler):
    """Passes each line to ``write``, which must neither block nor raise."""

    def __init__(self, write: Callable[[bytes], object], level: int | str = logging.NOTSET) -> None:
        super().__init__(level)
        self._write = write
        self._hclog = HclogFormatter()

    def createLock(self) -> None:
        # write is safe from any thread. Without a lock, the watchdog's last line never waits for
        # the thread that it reports, and a forked child inherits no lock that is held.
        self.lock = None

    def handle(self, record: logging.LogRecord) -> Any:
        # The same as logging's own, which since 3.13 takes the lock even if it is None.
        kept = self.filter(record)
        if kept:
            self.emit(kept if isinstance(kept, logging.LogRecord) else record)
        return kept

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record; a formatter that was set on the handler is not used."""
        try:
            line = self._hclog.line(record)
        # The app may have a record class of its own; logging's handleError would print to stderr.
        except Exception as exc:  # noqa: BLE001
            line = encode("error", __name__, f"a log record was lost: {type(exc).__name__}")
        self._write(line)


def configure_logging(
    level: str | None, write: Callable[[bytes], object], config: str | None = None
) -> None:
    """Send the root logger's records to ``write``, and the faults that Python would print.

    Args:
        level: a level's name in any case; None: ``info``.
        write: takes one line without its newline.
        config: a file for ``logging.config`` (.json, .yaml, .yml, else ini), applied as uvicorn
            does. Its settings of the root logger replace ours. Its handlers of the class
            ``mm_asgi.observe.logs.HclogHandler`` write to the host.

    Raises:
        ConfigError: the file cannot be applied.
    """
    if logging.getLevelName(TRACE) == f"Level {TRACE}":
        logging.addLevelName(TRACE, "TRACE")
    root = logging.getLogger()
    number = level_number(level)
    root.setLevel(logging.INFO if number is None else number)
    own = HclogHandler(write)
    root.handlers[:] = [own]
    if config is not None:
        _apply(config, write)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_thread
    sys.unraisablehook = _log_unraisable
    if number is None:
        _logger.warning("log level %.40r is not known, logging at info", level)


def adopt_stream_handlers(write: Callable[[bytes], object]) -> int:
    """Replace handlers that print by ones that write to the host; return how many there were.

    An app that configures logging for a terminal (Django's LOGGING, ``basicConfig(force=True)``)
    prints its records to stderr, where their level, logger and request are lost. Call this
    after the app was imported. Only plain ``logging.StreamHandler`` objects on Python's own
    stdout and stderr are replaced, with their level and filters; their format is not needed.
    """
    printing = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    root = logging.getLogger()
    count = 0
    for logger in (root, *list(root.manager.loggerDict.values())):
        handlers = logger.handlers if isinstance(logger, logging.Logger) else []
        for index, handler in enumerate(handlers):
            if type(handler) is logging.StreamHandler and handler.stream in printing:
                adopted = HclogHandler(write, handler.level)
                adopted.filters = handler.filters
                handlers[index] = adopted
                count += 1
    return count


def level_number(name: str | None) -> int | None:
    """Return the number of a level's name in any case: INFO for None, None for an unknown name."""
    return logging.INFO if name is None else _LEVELS.get(name.strip().lower())


def _level(number: object) -> str:
    if not isinstance(number, int):
        return "info"
    if number >= logging.WARNING:
        return "warn" if number < logging.ERROR else "error"
    if number >= logging.INFO:
        return "info"
    return "debug" if number >= logging.DEBUG else "trace"


def _message(record: logging.LogRecord, fields: dict[str, object]) -> str:
    text = safe_text(record.msg)
    try:
        return str.__str__(text % record.args) if record.args else text
    # Formatting runs the app's code. If that raises, the line is kept all the same.
    except BaseException as exc:  # noqa: BLE001
        fields["logging_error"] = f"{type(exc).__name__}: {safe_text(exc)}"
        return f"{text} {_arguments(record.args)}"


def _arguments(args: object) -> str:
    values = args if isinstance(args, tuple) else (args,)
    return "[" + ", ".join(safe_text(value) for value in values) + "]"


def _exception(record: logging.LogRecord) -> str:
    info = record.exc_info
    exc = info[1] if isinstance(info, tuple) and len(info) == 3 else info
    if not isinstance(exc, BaseException):
        return record.exc_text if isinstance(record.exc_text, str) else ""
    try:
        return "".join(traceback.format_exception(exc)).rstrip()
    # An exception's own code (__str__, __notes__, a source file) can raise, too.
    except BaseException:  # noqa: BLE001
        return f"{type(exc).__name__}: {safe_text(exc)} (its traceback cannot be shown)"


def _apply(path: str, write: Callable[[bytes], object]) -> None:
    """Apply a logging configuration file; every fault in it is the operator's."""
    # Imported here, because logging.config takes 8 ms and few plugins need it.
    import logging.config

    try:
        if path.endswith((".json", ".yaml", ".yml")):
            logging.config.dictConfig(_prepare_config(_load(path), write))
        else:
            with open(path, encoding="utf-8") as file:
                logging.config.fileConfig(file, disable_existing_loggers=False)
    except ConfigError:
        raise
    # The file names classes by import path. Their import or call may raise anything.
    except Exception as exc:
        reason = f"{type(exc).__name__}: {exc}"
        if exc.__cause__ is not None:
            reason += f" ({exc.__cause__})"
        raise ConfigError(f"log-config: {path} cannot be applied: {reason}") from exc


def _load(path: str) -> Any:
    with open(path, "rb") as file:
        if path.endswith(".json"):
            import json

            return json.load(file)
        try:
            import yaml  # type: ignore[import-untyped, unused-ignore]
        except ImportError as exc:
            raise ConfigError(
                f"log-config: {path} is YAML, for which PyYAML is not installed; "
                "pip install pyyaml, or write the file as .json"
            ) from exc
        return yaml.safe_load(file)


def _prepare_config(config: Any, write: Callable[[bytes], object]) -> Any:
    """Return the configuration, with ``write`` as an argument of its handlers of our class."""
    # dictConfig's default would silence every logger that exists by now, ours too.
    config.setdefault("disable_existing_loggers", False)
    name = f"{HclogHandler.__module__}.{HclogHandler.__qualname__}"
    for handler in config.get("handlers", {}).values():
        if name in (handler.get("class"), handler.get("()")):
            handler["write"] = write
    return config


def _log_uncaught(kind: type[BaseException], exc: BaseException, trace: Any) -> None:
    _logger.error("uncaught exception, the process ends", exc_info=(kind, exc, trace))


def _log_thread(args: threading.ExceptHookArgs) -> None:
    # As threading's own hook does: a thread may end itself by SystemExit.
    if args.exc_type is SystemExit or args.exc_value is None:
        return
    name = "unknown" if args.thread is None else args.thread.name
    info = (args.exc_type, args.exc_value, args.exc_traceback)
    _logger.error("uncaught exception in thread %s", name, exc_info=info)


def _log_unraisable(args: sys.UnraisableHookArgs) -> None:
    # The object is being deleted. Only its type is logged, so that nothing keeps it alive.
    what = args.err_msg or "exception ignored in"
    exc = args.exc_value
    info = None if exc is None else (type(exc), exc, args.exc_traceback)
    _logger.error("%s %s", what, type(args.object).__name__, exc_info=info)
