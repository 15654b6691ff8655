"""Settings: precedence, spellings, and the sentence for each way to be wrong."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mm_asgi import settings as module
from mm_asgi.errors import ConfigError
from mm_asgi.settings import TABLE, Setting, Settings, load_settings, read_env_file


def pyproject(directory: Path, text: str) -> None:
    (directory / "pyproject.toml").write_text(f"[tool.mm-asgi]\n{text}\n")


def test_nothing_given_is_the_defaults(tmp_path: Path) -> None:
    assert load_settings(environ={}, directory=tmp_path) == Settings()


def test_the_defaults_are_valid(tmp_path: Path) -> None:
    given = {
        row.name: value
        for row in TABLE
        if (value := getattr(Settings(), row.name)) is not None and not (row.path or row.commands)
    }
    assert load_settings(environ={}, directory=tmp_path, keywords=given) == Settings()


def test_each_place_wins_over_the_next(tmp_path: Path) -> None:
    pytest.importorskip("dotenv")
    (tmp_path / "vars").write_text("MM_ASGI_DRAIN=3\n")
    pyproject(tmp_path, 'drain = 4\nenv-file = "vars"')
    environ = {"MM_ASGI_DRAIN": "2"}
    load = load_settings
    assert load(environ=environ, directory=tmp_path, flags={"drain": "1"}).drain == 1
    assert load(environ=environ, directory=tmp_path, keywords={"drain": 1.5}).drain == 1.5
    assert load(environ=environ, directory=tmp_path).drain == 2
    assert load(environ={}, directory=tmp_path).drain == 3
    pyproject(tmp_path, "drain = 4")
    assert load(environ={}, directory=tmp_path).drain == 4


def test_spellings() -> None:
    row = next(row for row in TABLE if row.name == "startup_wait")
    assert (row.flag, row.env, row.key) == (
        "--startup-wait",
        "MM_ASGI_STARTUP_WAIT",
        "startup-wait",
    )


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.key)
def test_every_setting_can_be_given_in_every_place(row: Setting, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    samples: dict[type, tuple[str, object]] = {
        bool: ("true", True),
        int: ("7", 7),
        float: ("7.5", 7.5),
    }
    text, value = samples.get(row.kind, ("", ""))
    if row.kind is str:
        odd = {
            "app": "a:b",
            "host": "::1",
            "id": "shop",
            "user": "bob",
            "site_url": "https://chat.example.com/mm",
            "root_path": "/a/b",
        }
        text = row.choices[-1] if row.choices else row.path or odd[row.name]
        value = str(tmp_path / text) if row.path else text
    toml = text if row.kind is not str else f'"{text}"'
    if row.name == "env_file":
        pytest.importorskip("dotenv")

    def got(**places: dict[str, object]) -> object:
        environ = {str(k): str(v) for k, v in places.pop("environ", {}).items()}
        return getattr(load_settings(environ=environ, directory=tmp_path, **places), row.name)

    assert got(flags={row.name: text}) == value
    assert got(environ={row.env: text}) == value
    if row.commands:
        with pytest.raises(ConfigError, match="no setting has this name"):
            got(keywords={row.name: value})  # run serves a host, and has no address of its own
    else:
        assert got(keywords={row.name: value}) == value
    pyproject(tmp_path, f"{row.key} = {toml}")
    assert got() == value
    assert type(got()) is row.kind


@pytest.mark.parametrize(
    ("text", "expected"),
    [("true", True), ("1", True), ("YES", True), ("On", True)]
    + [("false", False), ("0", False), ("no", False), ("OFF", False)],
)
def test_switches_in_the_environment(text: str, expected: bool, tmp_path: Path) -> None:
    settings = load_settings(environ={"MM_ASGI_FACTORY": text}, directory=tmp_path)
    assert settings.factory is expected


def test_a_whole_number_is_a_number_of_seconds(tmp_path: Path) -> None:
    drain = load_settings(environ={}, directory=tmp_path, keywords={"drain": 3}).drain
    assert (drain, type(drain)) == (3.0, float)


def test_none_and_empty_variables_count_as_not_given(tmp_path: Path) -> None:
    settings = load_settings(
        environ={"MM_ASGI_DRAIN": "", "MM_ASGI_ROOT_PATH": ""},
        directory=tmp_path,
        keywords={"site_url": None, "drain": None},
    )
    assert settings == Settings()


def test_paths_start_from_the_directory(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    for given in ("src", tmp_path / "src"):
        settings = load_settings(environ={}, directory=tmp_path, keywords={"app_dir": given})
        assert settings.app_dir == str(tmp_path / "src")


BAD_KEYWORDS: list[tuple[dict[str, object], str]] = [
    ({"drain": "8"}, "drain: '8' came from the keyword drain, expected a number of seconds, 0 or more"),
    ({"drain": -1}, "drain: -1 came from the keyword drain, expected a number of seconds, 0 or more"),
    ({"drain": True}, "drain: True came"),
    ({"drain": float("nan")}, "drain: nan came"),
    ({"drain": float("inf")}, "drain: inf came"),
    ({"limit_concurrency": 1.5}, "limit-concurrency: 1.5 came from the keyword limit_concurrency, expected a whole number of requests"),
    ({"limit_concurrency": False}, "limit-concurrency: False came"),
    ({"factory": 1}, "factory: 1 came from the keyword factory, expected true or false"),
    ({"factory": "true"}, "factory: 'true' came"),
    ({"app": object()}, "app: a object came from the keyword app, expected text such as shop.main:app"),
    ({"network": "udp"}, "network: 'udp' came from the keyword network, expected one of unix, tcp"),
    ({"network": ["unix"]}, "network: a list came"),
    ({"wire": "grpc"}, "wire: 'grpc' came from the keyword wire, expected one of auto, native, grpcio, netrpc"),
    ({"app_dir": "nowhere"}, "app-dir: 'nowhere' came from the keyword app_dir, expected a folder that exists"),
    ({"log_config": "."}, "log-config: '.' came from the keyword log_config, expected a file that exists"),
    ({"drian": 3}, "drian: came from the keywords, no setting has this name; did you mean drain?"),
    ({"xyzzy": 3}, "xyzzy: came from the keywords, no setting has this name; expected one of app, factory"),
]  # fmt: skip


@pytest.mark.parametrize(("keywords", "message"), BAD_KEYWORDS)
def test_bad_keywords(keywords: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        load_settings(environ={}, directory=tmp_path, keywords=keywords)


@pytest.mark.parametrize(
    "url",
    ["chat.example.com", "ftp://chat.example.com", "https://", "http://a b/", "https://u@h/"]
    + ["https://h:99999", "https://h/?a=b", "https://h/#a", "https://[::1", "https://h/\n", "//h"],
)
def test_bad_site_urls(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^site-url: .*expected a URL such as https://"):
        load_settings(environ={}, directory=tmp_path, keywords={"site_url": url})


@pytest.mark.parametrize(
    "url", ["http://localhost:8065", "https://chat.example.com/site", "http://[::1]:80"]
)
def test_good_site_urls(url: str, tmp_path: Path) -> None:
    settings = load_settings(environ={}, directory=tmp_path, keywords={"site_url": url})
    assert settings.site_url == url


@pytest.mark.parametrize("path", ["plugins", "/", "/a/", "", "/a?b", "/a b"])
def test_bad_root_paths(path: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^root-path: .*expected a path such as /plugins/shop"):
        load_settings(environ={}, directory=tmp_path, keywords={"root_path": path})


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"MM_ASGI_DRAIN": "soon"}, "drain: 'soon' came from the variable MM_ASGI_DRAIN, expected"),
        ({"MM_ASGI_LIMIT_CONCURRENCY": "1.5"}, "limit-concurrency: '1.5' came from the variable"),
        ({"MM_ASGI_FACTORY": "maybe"}, "factory: 'maybe' came from the variable MM_ASGI_FACTORY"),
        (
            {"MM_ASGI_DRIAN": "3"},
            "MM_ASGI_DRIAN: came from the environment, no setting has this name; "
            "did you mean MM_ASGI_DRAIN?",
        ),
    ],
)
def test_bad_variables(environ: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        load_settings(environ=environ, directory=tmp_path)


def test_a_variable_that_resembles_none_is_for_somebody_else(tmp_path: Path) -> None:
    environ = {"MM_ASGI_REQUIRE_GO": "1", "DRAIN": "3", "MM_ASGI_": "x"}
    assert load_settings(environ=environ, directory=tmp_path) == Settings()


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("drain = 'soon'", "drain: 'soon' came from [tool.mm-asgi] in {}, expected a number"),
        ("factory = 1", "factory: 1 came from [tool.mm-asgi] in {}, expected true or false"),
        ("app = 1", "app: 1 came from [tool.mm-asgi] in {}, expected text such as shop.main:app"),
        ("startup_wait = 1", "startup_wait: came from [tool.mm-asgi] in {}, no setting has this "
            "name; did you mean startup-wait?"),
        ("drain = ", "pyproject.toml: {} cannot be read (Invalid value"),
    ],
)  # fmt: skip
def test_bad_pyproject(toml: str, message: str, tmp_path: Path) -> None:
    pyproject(tmp_path, toml)
    expected = message.format(tmp_path / "pyproject.toml")
    with pytest.raises(ConfigError, match=f"^{re.escape(expected)}"):
        load_settings(environ={}, directory=tmp_path)


@pytest.mark.parametrize("text", ["tool = 3", "[tool]\nmm-asgi = 3"])
def test_pyproject_without_a_table(text: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"^pyproject.toml: 3 came .*expected \[tool.mm-asgi\]"):
        load_settings(environ={}, directory=tmp_path)


def test_pyproject_that_is_not_ours_or_not_text(tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text("[project]\nname = 'shop'\n[tool.ruff]\nline-length = 80\n")
    assert load_settings(environ={}, directory=tmp_path) == Settings()
    file.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(environ={}, directory=tmp_path)


def test_env_file(tmp_path: Path) -> None:
    pytest.importorskip("dotenv")
    file = tmp_path / "vars"
    file.write_text("# a comment\nMM_ASGI_DRAIN=soon\nSHOP_KEY='a b'\nBARE\n")
    assert read_env_file(str(file)) == {"MM_ASGI_DRAIN": "soon", "SHOP_KEY": "a b"}
    with pytest.raises(ConfigError, match=f"^drain: 'soon' came from MM_ASGI_DRAIN in {file}, "):
        load_settings(environ={"MM_ASGI_ENV_FILE": "vars"}, directory=tmp_path)
    file.write_text("MM_ASGI_DRIAN=3\n")
    with pytest.raises(ConfigError, match=f"^MM_ASGI_DRIAN: came from {file}, no setting"):
        load_settings(environ={}, directory=tmp_path, flags={"env_file": "vars"})
    file.write_bytes(b"\xff=\xff\n")
    with pytest.raises(ConfigError, match=f"^env-file: {file} cannot be read"):
        load_settings(environ={}, directory=tmp_path, flags={"env_file": "vars"})


def test_env_file_without_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dotenv", None)
    (tmp_path / "vars").touch()
    with pytest.raises(ConfigError, match=re.escape('run pip install "mm-asgi[env-file]"')):
        load_settings(environ={}, directory=tmp_path, keywords={"env_file": "vars"})


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().drain = 3  # type: ignore[misc]
    assert not hasattr(Settings(), "__dict__")


def test_no_toml_parser_without_a_pyproject(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from mm_asgi.settings import load_settings\n"
        "load_settings(environ={'MM_ASGI_DRAIN': '1'}, directory=Path())\n"
        "sys.exit(','.join({'tomllib', 'dotenv', 'difflib', 'asyncio'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == ""


def test_the_process_environment_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MM_ASGI_DRAIN", "1")
    assert load_settings(environ={}, directory=tmp_path).drain == 8
    assert "environ" not in vars(module)
