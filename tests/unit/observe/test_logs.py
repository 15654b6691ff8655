"""observe/logs.py, contract row L8: logging as the host's log."""

from __future__ import annotations

import contextvars
import gc
import io
import json
import logging
import sys
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_asgi.errors import ConfigError
from mm_asgi.observe.access import log_access
from mm_asgi.observe.context import LOG_CONTEXT, LogContext
from mm_asgi.observe.hclog import LEVELS, LINE_LIMIT
from mm_asgi.observe.logs import (
    TRACE,
    HclogFormatter,
    HclogHandler,
    adopt_stream_handlers,
    configure_logging,
    level_number,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Lines(list[bytes]):
    """A host that keeps what it is sent."""

    @property
    def entries(self) -> list[dict[str, Any]]:
        return [check(line) for line in self]


def check(line: bytes) -> dict[str, Any]:
    assert len(line) + 1 <= LINE_LIMIT
    assert b"\n" not in line
    entry: dict[str, Any] = json.loads(line)
    assert entry["@level"] in LEVELS
    for name in ("@message", "@module", "@timestamp"):
        assert type(entry[name]) is str
    return entry


@pytest.fixture
def lines() -> Iterator[Lines]:
    """A list for ``configure_logging`` to write to; afterwards all is as it was before."""
    root = logging.getLogger()
    state = root.level, root.handlers[:], root.disabled
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    yield Lines()
    logging.captureWarnings(False)
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    root.setLevel(state[0])
    root.handlers[:] = state[1]


def record(**changes: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "app", "levelno": logging.INFO, "msg": "x"})
    vars(made).update(changes)
    return made


def entry_of(made: logging.LogRecord) -> dict[str, Any]:
    return check(HclogFormatter().line(made))


def test_a_record_becomes_a_line(lines: Lines) -> None:
    configure_logging("debug", lines.append)
    before = time.time()
    logging.getLogger("shop.pay").warning("paid %d %s", 5, "euro", extra={"order": 7})
    (entry,) = lines.entries
    assert entry["@level"] == "warn"
    assert entry["@module"] == "shop.pay"
    assert entry["@message"] == "paid 5 euro"
    assert entry["order"] == 7
    stamp = time.strftime("%Y-%m-%dT%H:%M", time.gmtime(before))
    assert entry["@timestamp"][:16] >= stamp
    assert set(entry) == {"@level", "@module", "@message", "@timestamp", "order"}


@pytest.mark.parametrize(
    ("number", "level"),
    [
        (0, "trace"),
        (TRACE, "trace"),
        (10, "debug"),
        (19, "debug"),
        (20, "info"),
        (25, "info"),
        (30, "warn"),
        (40, "error"),
        (50, "error"),
        (99, "error"),
        ("40", "info"),
        (None, "info"),
    ],
)
def test_levels(number: object, level: str) -> None:
    assert entry_of(record(levelno=number))["@level"] == level


def test_the_request_and_its_user() -> None:
    def inside() -> dict[str, Any]:
        LOG_CONTEXT.set(LogContext("r1", "u1"))
        return entry_of(record())

    entry = contextvars.Context().run(inside)
    assert (entry["request_id"], entry["user_id"]) == ("r1", "u1")
    assert "request_id" not in entry_of(record())


def test_an_anonymous_request() -> None:
    def inside() -> dict[str, Any]:
        LOG_CONTEXT.set(LogContext("r1"))
        return entry_of(record())

    assert "user_id" not in contextvars.Context().run(inside)


def test_an_exception_is_a_field() -> None:
    try:
        raise ValueError("no\nsuch order")
    except ValueError:
        entry = entry_of(record(exc_info=sys.exc_info()))
    assert entry["@message"] == "x"
    assert entry["exception"].startswith("Traceback (most recent call last):\n")
    assert entry["exception"].endswith("ValueError: no\nsuch order")


@pytest.mark.parametrize("info", [None, (None, None, None), True, (1, 2), "x"])
def test_no_exception(info: object) -> None:
    assert "exception" not in entry_of(record(exc_info=info))


def test_a_traceback_that_came_as_text() -> None:
    assert entry_of(record(exc_text="Traceback"))["exception"] == "Traceback"


def test_a_stack() -> None:
    assert entry_of(record(stack_info="Stack (...)"))["stack"] == "Stack (...)"


class Evil(Exception):
    """Whatever is asked of it raises, with ``fault``."""

    fault: type[BaseException] = RuntimeError

    def __str__(self) -> str:
        raise self.fault

    __repr__ = __str__

    def __bool__(self) -> bool:
        raise self.fault

    def __getattr__(self, name: str) -> object:
        raise self.fault


class Deadly(Evil):
    fault = SystemExit


@pytest.mark.parametrize("message", ["%s", "%(a)s", "%d", "%r", "plain"])
def test_arguments_that_raise_lose_nothing(message: str) -> None:
    for kind in (Evil, Deadly):
        for args in ((kind(),), kind(), ({"b": kind()},)):
            entry = entry_of(record(msg=message, args=args))
            assert entry["@message"].startswith(message)
            assert type(entry["logging_error"]) is str


def test_a_message_that_raises() -> None:
    for kind in (Evil, Deadly):
        assert entry_of(record(msg=kind()))["@message"] == f"<unprintable {kind.__name__}>"


def test_the_wrong_number_of_arguments() -> None:
    entry = entry_of(record(msg="%s and %s", args=("one",)))
    assert entry["@message"] == "%s and %s [one]"
    assert entry["logging_error"] == "TypeError: not enough arguments for format string"


def test_an_exception_that_cannot_be_shown() -> None:
    for kind in (Evil, Deadly):
        entry = entry_of(record(exc_info=(kind, kind(), None)))
        assert kind.__name__ in entry["exception"]


def test_facts_cannot_take_the_hosts_names() -> None:
    made = record(**{"@message": 5, "@level": None, "request_id": "own"})
    entry = entry_of(made)
    assert entry["@message"] == "x"
    assert entry["field_message"] == 5
    assert entry["request_id"] == "own"


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None))
    | st.binary()
    | st.builds(Evil)
    | st.builds(object),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
STANDARD = sorted(set(vars(logging.makeLogRecord({}))) | {"message", "@message", "own", "taskName"})


@given(st.dictionaries(st.sampled_from(STANDARD), ANYTHING))
def test_any_record_gives_one_good_line(changes: dict[str, object]) -> None:
    entry_of(record(**changes))


def test_the_formatter_works_as_loggings_own() -> None:
    handler = logging.StreamHandler(stream := io.StringIO())
    handler.setFormatter(HclogFormatter())
    handler.handle(record(msg="grün \ud800"))
    check(stream.getvalue().rstrip("\n").encode())


def test_a_handler_loses_no_record_and_raises_nothing() -> None:
    class Odd(logging.LogRecord):
        def __init__(self) -> None:
            self.name = "app"

    lines = Lines()
    HclogHandler(lines.append).emit(Odd())
    (entry,) = lines.entries
    assert entry["@message"] == "a log record was lost: AttributeError"


def test_a_handlers_filter_decides_and_may_replace() -> None:
    lines = Lines()
    handler = HclogHandler(lines.append)

    def decide(made: logging.LogRecord) -> Any:
        if made.msg == "other":
            return record(msg="replaced")
        return made.msg == "kept"

    handler.addFilter(decide)
    for message in ("kept", "dropped", "other"):
        handler.handle(record(msg=message))
    replaced = "replaced" if sys.version_info >= (3, 12) else "other"
    assert [entry["@message"] for entry in lines.entries] == ["kept", replaced]


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("trace", 5),
        ("DEBUG", 10),
        ("Info", 20),
        ("warn", 30),
        (" warning ", 30),
        ("error", 40),
        ("critical", 50),
        ("panic", 50),
        ("fatal", 50),
        (None, 20),
        ("loud", None),
        ("", None),
        ("10", None),
    ],
)
def test_level_names(name: str | None, number: int | None) -> None:
    assert level_number(name) == number


def test_the_level_holds(lines: Lines) -> None:
    configure_logging("ERROR", lines.append)
    logging.getLogger("app").warning("no")
    logging.getLogger("app").error("yes")
    assert [entry["@message"] for entry in lines.entries] == ["yes"]


def test_trace_has_a_name(lines: Lines) -> None:
    configure_logging("trace", lines.append)
    logging.getLogger("app").log(TRACE, "fine")
    assert [entry["@level"] for entry in lines.entries] == ["trace"]
    assert logging.getLevelName(TRACE) == "TRACE"


def test_an_unknown_level_is_info_and_told(lines: Lines) -> None:
    configure_logging("loud", lines.append)
    logging.getLogger("app").debug("no")
    assert [entry["@message"] for entry in lines.entries] == [
        "log level 'loud' is not known, logging at info"
    ]


def test_warnings_and_what_nobody_caught(lines: Lines) -> None:
    configure_logging(None, lines.append)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("old thing", DeprecationWarning, stacklevel=1)
    sys.excepthook(ValueError, ValueError("main"), None)
    thread = threading.Thread(target=lambda: 1 / 0, name="worker")
    thread.start()
    thread.join()
    quiet = threading.Thread(target=sys.exit)
    quiet.start()
    quiet.join()
    warning, main, worker = lines.entries
    assert (warning["@module"], warning["@level"]) == ("py.warnings", "warn")
    assert "DeprecationWarning: old thing" in warning["@message"]
    assert main["@message"] == "uncaught exception, the process ends"
    assert main["exception"] == "ValueError: main"
    assert worker["@message"] == "uncaught exception in thread worker"
    assert worker["exception"].endswith("ZeroDivisionError: division by zero")


def test_a_thread_that_is_not_known(lines: Lines) -> None:
    configure_logging(None, lines.append)
    args = threading.ExceptHookArgs((ValueError, ValueError("x"), None, None))
    threading.excepthook(args)
    assert lines.entries[0]["@message"] == "uncaught exception in thread unknown"


def test_an_exception_that_python_would_only_print(lines: Lines) -> None:
    class Finalized:
        def __del__(self) -> None:
            raise ValueError("in a finalizer")

    configure_logging(None, lines.append)
    Finalized()
    gc.collect()
    (entry,) = lines.entries
    assert entry["@level"] == "error"
    assert entry["exception"].endswith("ValueError: in a finalizer")


def config_file(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_log_config_json(lines: Lines, tmp_path: Path) -> None:
    config = {
        "version": 1,
        "handlers": {
            "host": {"class": "mm_asgi.observe.logs.HclogHandler", "level": "WARNING"},
            "other": {"()": "mm_asgi.observe.logs.HclogHandler"},
        },
        "loggers": {
            "shop": {"level": "DEBUG"},
            "shop.own": {"handlers": ["host", "other"], "propagate": False},
        },
    }
    existing = logging.getLogger("test_logs.existing")
    configure_logging("info", lines.append, config_file(tmp_path, "l.json", json.dumps(config)))
    try:
        logging.getLogger("shop").debug("root's handler is still ours")
        logging.getLogger("shop.own").info("once")
        logging.getLogger("shop.own").warning("twice")
        existing.info("not silenced")
        assert [entry["@message"] for entry in lines.entries] == [
            "root's handler is still ours",
            "once",
            "twice",
            "twice",
            "not silenced",
        ]
    finally:
        logging.getLogger("shop").setLevel(logging.NOTSET)
        logging.getLogger("shop.own").handlers.clear()
        logging.getLogger("shop.own").propagate = True


def test_log_config_says_what_the_root_does(lines: Lines, tmp_path: Path) -> None:
    config = {"version": 1, "root": {"level": "ERROR", "handlers": []}}
    configure_logging("info", lines.append, config_file(tmp_path, "l.json", json.dumps(config)))
    assert logging.getLogger().level == logging.ERROR


def test_log_config_ini(lines: Lines, tmp_path: Path) -> None:
    text = (
        "[loggers]\nkeys=root\n[handlers]\nkeys=null\n[formatters]\nkeys=\n"
        "[logger_root]\nlevel=WARNING\nhandlers=null\n"
        "[handler_null]\nclass=NullHandler\nargs=()\n"
    )
    configure_logging("info", lines.append, config_file(tmp_path, "log.ini", text))
    root = logging.getLogger()
    assert root.level == logging.WARNING
    assert [type(handler) for handler in root.handlers] == [logging.NullHandler]


def test_log_config_yaml(lines: Lines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = config_file(tmp_path, "l.yaml", "version: 1")
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ConfigError, match="pip install pyyaml"):
        configure_logging("info", lines.append, path)

    class Yaml:
        @staticmethod
        def safe_load(file: io.BytesIO) -> object:
            assert file.read() == b"version: 1"
            return {"version": 1, "root": {"level": "ERROR"}}

    monkeypatch.setitem(sys.modules, "yaml", Yaml)
    configure_logging("info", lines.append, path)
    assert logging.getLogger().level == logging.ERROR


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.json", "{"),
        ("l.json", "[]"),
        ("l.json", "{}"),
        ("l.json", '{"version": 1, "handlers": {"a": {"class": "no.such.Class"}}}'),
        ("l.ini", ""),
        ("l.ini", "[loggers]\nkeys=root\n"),
    ],
)
def test_log_config_with_a_fault(lines: Lines, tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(ConfigError, match="log-config: .* cannot be applied: "):
        configure_logging("info", lines.append, config_file(tmp_path, name, text))


@pytest.mark.parametrize("name", ["none.json", "none.ini"])
def test_log_config_that_is_not_there(lines: Lines, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="FileNotFoundError"):
        configure_logging("info", lines.append, str(tmp_path / name))


def test_handlers_that_print_are_adopted(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    # None of those that other tests' frameworks have set up.
    monkeypatch.setattr(logging.root.manager, "loggerDict", {})
    configure_logging("info", lines.append)
    logger = logging.getLogger("test_logs.printing")
    printing = logging.StreamHandler(sys.stderr)
    printing.setLevel(logging.WARNING)
    printing.addFilter(lambda made: made.msg != "filtered")
    elsewhere = logging.StreamHandler(io.StringIO())
    logger.handlers[:] = [printing, elsewhere]
    logger.propagate = False
    logging.getLogger("test_logs.place.holder")
    try:
        assert adopt_stream_handlers(lines.append) == 1
        assert adopt_stream_handlers(lines.append) == 0
        for message in ("told", "filtered"):
            logger.error(message)
        logger.info("below its level")
        assert logger.handlers[1] is elsewhere
    finally:
        logger.handlers.clear()
        logger.propagate = True
    (entry,) = lines.entries
    assert entry["@level"] == "error"
    assert entry["@module"] == "test_logs.printing"


def test_access_line(lines: Lines) -> None:
    configure_logging("info", lines.append)
    log_access(
        method="GET",
        path="/plugins/demo/a?access_token=secret",
        status=200,
        sent=1234,
        seconds=0.01234,
        client="192.0.2.1",
        user_id=None,
    )
    (entry,) = lines.entries
    assert b"secret" not in lines[0]
    assert entry["@module"] == "mm_asgi.access"
    assert entry["@message"] == "GET /plugins/demo/a 200 in 12.3 ms"
    facts = {name: value for name, value in entry.items() if not name.startswith("@")}
    assert facts == {
        "method": "GET",
        "path": "/plugins/demo/a",
        "status": 200,
        "bytes": 1234,
        "ms": 12.3,
        "client": "192.0.2.1",
        "user_id": None,
    }


def test_access_line_costs_nothing_above_info(lines: Lines) -> None:
    configure_logging("warn", lines.append)
    log_access(method="GET", path="/", status=200, sent=0, seconds=0, client=None, user_id="u")
    assert lines == []
