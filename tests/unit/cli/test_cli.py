"""The command line: what reaches run_plugin, and the sentence for each wrong call."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import mm_asgi
import mm_asgi.process.front
from mm_asgi.cli import main
from mm_asgi.settings import TABLE, Settings


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Settings]:
    """The settings that reached the process; the working directory is empty."""
    given: list[Settings] = []

    def run_plugin(settings: Settings) -> int:
        given.append(settings)
        return 7

    monkeypatch.setattr(mm_asgi.process.front, "run_plugin", run_plugin)
    monkeypatch.chdir(tmp_path)
    for row in TABLE:
        monkeypatch.delenv(row.env, raising=False)
    return given


def test_serve(served: list[Settings]) -> None:
    argv = [
        "serve",
        "shop.main:app",
        "--factory",
        "--drain",
        "3",
        "--network=tcp",
        "--no-access-log",
    ]
    assert main(argv) == 7
    assert served == [Settings(app="shop.main:app", factory=True, drain=3, network="tcp")]


def test_the_environment_stands_in(served: list[Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MM_ASGI_APP", "shop.main:app")
    monkeypatch.setenv("MM_ASGI_ACCESS_LOG", "on")
    assert main(["serve"]) == 7
    assert main(["serve", "other:app", "--no-access-log"]) == 7
    assert served == [Settings(app="shop.main:app", access_log=True), Settings(app="other:app")]


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ([], "app: no target was given, expected one such as shop.main:app as the argument of"),
        (["x:y", "--drain", "soon"], "drain: 'soon' came from the command line (--drain), expected a number of seconds, 0 or more\n"),
        (["x:y", "--wire", "grpc"], "wire: 'grpc' came from the command line (--wire), expected one of auto, native, grpcio, netrpc"),
        (["x:y", "--drian=3"], "--drian=3: serve has no such argument; did you mean --drain?\n"),
        (["x:y", "--xyzzy"], "--xyzzy: serve has no such argument; see mm-asgi serve --help\n"),
        (["x:y", "more"], "more: serve has no such argument; see mm-asgi serve --help\n"),
        (["x:y", "--drain"], "argument --drain: expected one argument; see mm-asgi serve --help\n"),
        (["x:y", "--dra", "3"], "--dra: serve has no such argument; did you mean --drain?\n"),
    ],
)  # fmt: skip
def test_a_wrong_call_is_one_sentence(
    argv: list[str], sentence: str, served: list[Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", *argv]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"mm-asgi: {sentence}")
    assert err.count("\n") == 1
    assert served == []


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ([], "a command is missing"),
        (["unknown"], "unknown is not a command"),
        (["--unknown"], "--unknown is not a command"),
        (["chek", "x:y"], "chek is not a command; did you mean check?"),
    ],
)
def test_no_command_shows_the_help(
    argv: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(argv)
    out, err = capsys.readouterr()
    assert (stop.value.code, out) == (2, "")
    assert "usage: mm-asgi" in err
    assert "serve" in err
    assert err.endswith(f"\n\nmm-asgi: {sentence}\n")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert (stop.value.code, capsys.readouterr().out) == (0, f"mm-asgi {mm_asgi.__version__}\n")


@pytest.mark.parametrize("command", ["serve", "dev", "check"])
def test_help_shows_variable_and_default(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for row in TABLE:
        if row.commands and command not in row.commands:
            assert f"{row.env}," not in text
            continue
        assert row.flag in text
        assert f"[{row.env}" in text
    for fact in ("MM_ASGI_DRAIN, default 8]", "MM_ASGI_LOG_LEVEL, default the host's]"):
        assert fact in text


@pytest.mark.parametrize("command", [[sys.executable, "-m", "mm_asgi"], ["mm-asgi"]])
def test_as_a_process(command: list[str], tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / command[0]), *command[1:]]
    done = subprocess.run(
        [*command, "serve"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("mm-asgi: app: no target was given")


def test_a_wrong_call_imports_no_wire(tmp_path: Path) -> None:
    code = (
        "import sys; from mm_asgi.cli import main; main(['serve'])\n"
        "assert not {'asyncio', 'grpc', 'google.protobuf', 'logging'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


@pytest.mark.parametrize("command", ["init", "dev", "check", "serve"])
def test_help_begins_with_what_is_the_commands_own(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0
    assert text.startswith(f"usage: mm-asgi {command} [options] [TARGET]\n")
    assert max(map(len, text.splitlines())) < 80
    own, _, settings = text.partition("settings of the plugin:")
    for row in TABLE:
        shown = own if row.commands or row.flag == "TARGET" else settings
        if command != "init" and (not row.commands or command in row.commands):
            assert re.search(rf"^  {row.flag}\b", shown, re.MULTILINE), row.flag
