"""Every setting with its default: one frozen object, validated once, handed down from the top.

A setting has one name in four spellings: the flag ``--drain``, the environment variable
``MM_ASGI_DRAIN``, the key ``drain`` in ``[tool.mm-asgi]``, the keyword ``drain`` of ``run``. The
first of these that is given wins, in the order keyword or flag, environment, env file, pyproject,
default.

The fields of `Settings` are the only list: flags, variables, keys and their checks are derived
from them. What a setting does is not here; the rooms that are handed one say so.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mm_asgi.errors import ConfigError

__all__ = ["Settings", "load_settings", "read_env_file"]

PREFIX = "MM_ASGI_"
TRUE = ("true", "1", "yes", "on")
FALSE = ("false", "0", "no", "off")


def _site_url(value: str) -> bool:
    # Imported here: few give a site URL, and the handshake waits for every import.
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    extra = parts.username is not None or parts.query or parts.fragment
    clean = value.isprintable() and " " not in value
    return parts.scheme in ("http", "https") and bool(host) and clean and not extra


def _port(value: int) -> bool:
    return value <= 65535


def _message_size(value: int) -> bool:
    return 0 < value < 2**31  # gRPC's and protobuf's own limit


def _root_path(value: str) -> bool:
    return value.startswith("/") and not value.endswith("/") and not set(value) & set("?# ")


def _setting(default: object, help: str, *choices: str, **more: object) -> Any:
    """Return a field of `Settings`; ``more`` overrides the defaults of `Setting`'s own fields."""
    return dataclasses.field(default=default, metadata={"help": help, "choices": choices, **more})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a plugin runs with. `load_settings` makes one from what was given, and checks it."""

    app: str = _setting("", "the app to serve, as module:attribute", flag="TARGET")
    factory: bool = _setting(False, "the target is a function that makes the app")
    app_dir: str = _setting("", "folder that the app is imported from", path="folder")
    wire: str = _setting(
        "auto", "what speaks with the host; auto: what the host's environment says",
        "auto", "native", "grpcio", "netrpc",
    )  # fmt: skip
    network: str = _setting("unix", "socket that the host dials", "unix", "tcp")
    lifespan: str = _setting("auto", "whether the app has a lifespan", "auto", "on", "off")
    loop: str = _setting(
        "auto", "event loop; auto: uvloop if installed", "auto", "asyncio", "uvloop"
    )
    interface: str = _setting("auto", "what the app speaks", "auto", "asgi", "wsgi")
    log_level: str | None = _setting(
        None, "least level to log", "trace", "debug", "info", "warning", "error", "critical",
        unset="the host's",
    )  # fmt: skip
    log_config: str | None = _setting(None, "file that configures Python's logging", path="file")
    access_log: bool = _setting(False, "log a line for each request", unset="off; under dev on")
    env_file: str | None = _setting(None, "file of environment variables to load", path="file")
    site_url: str | None = _setting(
        None, "Mattermost's own address, where a request does not tell it", unset="from the request",
        check=_site_url, expected="a URL such as https://chat.example.com",
    )  # fmt: skip
    root_path: str | None = _setting(
        None, "path that the app is mounted at", unset="from the request",
        check=_root_path, expected="a path such as /plugins/shop, that starts and does not end with /",
    )  # fmt: skip
    underscore_headers: bool = _setting(False, "pass on request headers with a _ in their name")
    path: str = _setting(
        "full", "mounted: the app's path is below its prefix, for frameworks that ignore root_path",
        "full", "mounted",
    )  # fmt: skip
    cookie_path: str = _setting("keep", "root: scope cookies for Path=/ to the app", "keep", "root")
    event_padding: str = _setting(
        "auto", "auto: push events by comments out of a server that cannot flush", "auto", "off"
    )
    limit_concurrency: int = _setting(
        10_000, "requests at once; more are answered 503; 0: no limit", unit="requests"
    )
    startup_wait: float = _setting(
        20.0, "wait of a request for the app's start-up; 0: 503 at once", unit="seconds"
    )
    import_budget: float = _setting(
        25.0, "time to import the app; 0: as long as the host waits", unit="seconds"
    )
    disconnect_grace: float = _setting(
        5.0, "time an app may go on sending to a client that left; 0: none", unit="seconds"
    )
    drain: float = _setting(
        8.0, "time for running requests to end at deactivation; 0: none", unit="seconds"
    )
    hook_budget: float = _setting(
        28.0, "time for one hook; 0: as long as the host waits", unit="seconds"
    )
    upload_limit: int = _setting(
        2**31 - 1, "largest message with a file for file_will_be_uploaded; larger ones it never sees",
        unit="bytes", check=_message_size, expected="1 to 2147483647 bytes",
    )  # fmt: skip
    api_timeout: float = _setting(
        10.0, "time for one call of Mattermost's API; 0: no limit", unit="seconds"
    )
    blocked_warn: float = _setting(
        1.0, "log what blocks the event loop this long; 0: never", unit="seconds"
    )
    blocked_kill: float = _setting(
        30.0, "end the plugin when its event loop is blocked this long; 0: never", unit="seconds"
    )
    host: str = _setting("127.0.0.1", "address that dev listens on", commands=("dev",))
    port: int = _setting(
        8065, "port that dev listens on; 0: any free one", unit="port", commands=("dev",),
        check=_port, expected="a port from 0 to 65535",
    )  # fmt: skip
    id: str | None = _setting(
        None, "the plugin's id", unset="from plugin.json or the module's name",
        commands=("dev", "check"),
    )  # fmt: skip
    user: str = _setting(
        "alice", "who is logged in without a token; empty: nobody", commands=("dev",)
    )
    reload: bool = _setting(
        False, "replace the plugin when a file of the app's folder changes", commands=("dev",)
    )
    debug: bool = _setting(
        False, "let a debugger attach with debugpy, and stretch the deadlines", commands=("dev",)
    )
    debug_port: int = _setting(
        5678, "port of this machine that debugpy listens on; 0: any free one", unit="port",
        commands=("dev",), check=_port, expected="a port from 0 to 65535",
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A field of `Settings` as a row: its spellings and what it accepts.

    Attributes:
        unset: what applies while the setting is not given, where the default does not say it.
        path: ``file`` or ``folder``: the value is a path from the working directory and exists.
        commands: the commands that have this flag; none named: all of them.
    """

    name: str
    kind: type
    default: object
    help: str
    choices: tuple[str, ...] = ()
    unit: str = ""
    unset: str = ""
    path: str = ""
    check: Callable[[Any], bool] | None = None
    expected: str = ""
    flag: str = ""
    commands: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """As pyproject and messages spell it."""
        return self.name.replace("_", "-")

    @property
    def env(self) -> str:
        return PREFIX + self.name.upper()


def _table() -> Iterable[Setting]:
    for field in dataclasses.fields(Settings):
        # `str | None` means that there is no default, not that None can be given.
        kind = field.type if isinstance(field.type, type) else str
        flag = "--" + field.name.replace("_", "-")
        facts = {"flag": flag, **field.metadata}
        yield Setting(name=field.name, kind=kind, default=field.default, **facts)


TABLE = tuple(_table())


@dataclass(frozen=True, slots=True)
class _Source:
    """Values from one place, by attribute name."""

    given: Mapping[str, object]
    where: Callable[[Setting], str]
    is_text: bool


def load_settings(
    *,
    environ: Mapping[str, str],
    directory: Path,
    flags: Mapping[str, object] | None = None,
    keywords: Mapping[str, object] | None = None,
    defaults: Mapping[str, object] | None = None,
) -> Settings:
    """Return the settings from all sources, each value checked.

    Args:
        environ: the process's environment. An empty variable counts as not set.
        directory: where pyproject.toml is looked for, and what relative paths start from.
        flags: a command line's flags by attribute name, as text or, for switches, as bool.
        keywords: `run`'s keywords. None counts as not given.
        defaults: a command's own, by attribute name, in the place of the settings'.

    Raises:
        ConfigError: a value is wrong, or a name is unknown; it says which and from where.
    """
    sources = [
        _Source(flags or {}, lambda row: f"the command line ({row.flag})", is_text=True),
        _Source(_keywords(keywords or {}), lambda row: f"the keyword {row.name}", is_text=False),
        _Source(_environment(environ), lambda row: f"the variable {row.env}", is_text=True),
        _pyproject(directory / "pyproject.toml"),
    ]
    env_file = next(row for row in TABLE if row.name == "env_file")
    if found := _values([env_file], sources, directory):
        # Behind the real environment, before pyproject.
        sources.insert(3, _env_file(str(found["env_file"])))
    sources.append(_Source(defaults or {}, lambda row: "the command's defaults", is_text=False))
    return Settings(**_values(TABLE, sources, directory))


def read_env_file(path: str) -> dict[str, str]:
    """Return the variables of an env file, in its order. The caller decides which of them count.

    Raises:
        ConfigError: python-dotenv is not installed, or the file cannot be read.
    """
    try:
        # An extra, and few need it.
        from dotenv import dotenv_values
    except ImportError:
        raise ConfigError(
            "env-file: python-dotenv, which reads it, is not installed; "
            'run pip install "mm-asgi[env-file]"'
        ) from None
    try:
        values = dotenv_values(path)
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"env-file: {path} cannot be read ({exc})") from exc
    return {name: value for name, value in values.items() if value is not None}


def _values(rows: Iterable[Setting], sources: Iterable[_Source], directory: Path) -> dict[str, Any]:
    """Return the values of the rows, each from the first source that has it."""
    values = {}
    for row in rows:
        source = next((source for source in sources if row.name in source.given), None)
        if source is not None:
            value = source.given[row.name]
            values[row.name] = _checked(row, value, source.where(row), source.is_text, directory)
    return values


def _checked(row: Setting, given: object, where: str, is_text: bool, directory: Path) -> object:
    """Return the value in its right type.

    Raises:
        ConfigError: it has another type, or is out of bounds.
    """
    value = _parsed(row.kind, given) if is_text and isinstance(given, str) else given
    if row.kind is float and type(value) is int:
        value = float(value)
    if row.path and isinstance(value, str | Path):
        value = str(directory / value)
    # Python's True is an int too.
    right = isinstance(value, row.kind) and (row.kind is bool or not isinstance(value, bool))
    if not right or not _accepts(row, value):
        raise ConfigError(
            f"{row.key}: {_shown(given)} came from {where}, expected {_expected(row)}"
        )
    return value


def _parsed(kind: type, text: str) -> object:
    """Return a text as a value of a kind; a text that is none of that kind stays a text."""
    if kind is bool:
        word = text.strip().lower()
        return True if word in TRUE else False if word in FALSE else text
    try:
        return kind(text)
    except ValueError:
        return text


def _accepts(row: Setting, value: Any) -> bool:
    if row.choices:
        return value in row.choices
    if row.kind in (int, float):
        return math.isfinite(value) and value >= 0 and (row.check is None or row.check(value))
    if row.path:
        return Path(value).is_dir() if row.path == "folder" else Path(value).is_file()
    return row.check is None or row.check(value)


def _expected(row: Setting) -> str:
    if row.choices:
        return "one of " + ", ".join(row.choices) if len(row.choices) > 1 else row.choices[0]
    if row.kind in (int, float) and not row.expected:
        return f"a {'whole ' if row.kind is int else ''}number of {row.unit}, 0 or more"
    if row.kind is bool:
        return "true or false"
    if row.path:
        return f"a {row.path} that exists"
    return row.expected or "text such as shop.main:app"


def _shown(value: object) -> str:
    # The repr of a stranger's object can be pages long, or raise.
    return repr(value) if isinstance(value, str | int | float) else f"a {type(value).__name__}"


def _keywords(keywords: Mapping[str, object]) -> dict[str, object]:
    rows = {row.name: row for row in TABLE if not row.commands}
    _refuse_unknown(keywords, rows, "the keywords")
    return {name: value for name, value in keywords.items() if value is not None}


def _environment(environ: Mapping[str, str]) -> dict[str, object]:
    """Return the settings among the variables.

    A stranger under our prefix is an error only when it looks like a slip of the pen: plugins
    share their host's environment, so a variable may be meant for one with another version.
    """
    rows = {row.env: row for row in TABLE}
    given = {name: value for name, value in environ.items() if name.startswith(PREFIX) and value}
    slips = [name for name in given if name not in rows and closest(name, rows)]
    _refuse_unknown(slips, rows, "the environment")
    return {rows[name].name: value for name, value in given.items() if name in rows}


def _env_file(path: str) -> _Source:
    given = {n: value for n, value in read_env_file(path).items() if n.startswith(PREFIX) and value}
    rows = {row.env: row for row in TABLE if row.name != "env_file"}
    _refuse_unknown(given, rows, path)
    values = {rows[name].name: value for name, value in given.items()}
    return _Source(values, lambda row: f"{row.env} in {path}", is_text=True)


def _pyproject(path: Path) -> _Source:
    given = _pyproject_table(path) if path.is_file() else {}
    rows = {row.key: row for row in TABLE}
    where = f"[tool.mm-asgi] in {path}"
    _refuse_unknown(given, rows, where)
    values = {rows[key].name: value for key, value in given.items()}
    return _Source(values, lambda row: where, is_text=False)


def _pyproject_table(path: Path) -> Mapping[str, object]:
    # Imported here: most plugins have no pyproject.toml beside their start file.
    import tomllib

    try:
        with path.open("rb") as file:
            tool = tomllib.load(file).get("tool", {})
    except (OSError, ValueError) as exc:
        raise ConfigError(f"pyproject.toml: {path} cannot be read ({exc}), expected TOML") from exc
    table = tool.get("mm-asgi", {}) if isinstance(tool, dict) else tool
    if not isinstance(table, dict):
        raise ConfigError(
            f"pyproject.toml: {_shown(table)} came from {path}, expected [tool.mm-asgi]"
        )
    # [tool.mm-asgi.bundle] is read by `mm-asgi bundle` alone.
    return {key: value for key, value in table.items() if key != "bundle"}


def _refuse_unknown(names: Iterable[str], known: Iterable[str], where: str) -> None:
    for name in names:
        if name not in known:
            meant = closest(name, known)
            hint = f"did you mean {meant}?" if meant else "expected one of " + ", ".join(known)
            raise ConfigError(f"{name}: came from {where}, no setting has this name; {hint}")


def closest(name: str, known: Iterable[str]) -> str:
    """Return the known name that was probably meant, or nothing."""
    # Imported here: only a mistake needs it.
    import difflib

    # The prefix would make every variable look like every other.
    short = {other.removeprefix(PREFIX): other for other in known}
    matches = difflib.get_close_matches(name.removeprefix(PREFIX), short, n=1, cutoff=0.75)
    return short[matches[0]] if matches else ""
