"""The front of a plugin's process; what it is with a worker, tests/contract/test_L_* show."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mm_asgi.errors import ConfigError
from mm_asgi.goplugin.environ import StartedByHand, read_environment
from mm_asgi.process import front, wires
from mm_asgi.settings import Settings


@pytest.mark.parametrize(
    ("manifest", "plugin_id"),
    [
        ('{"id": "com.example.shop"}', "com.example.shop"),
        ('{"name": "shop"}', ""),
        ("[]", ""),
        ("not JSON", ""),
        (None, ""),
    ],
)
def test_the_id_is_taken_from_the_manifest_if_it_is_there(
    manifest: str | None, plugin_id: str, tmp_path: Path
) -> None:
    if manifest is not None:
        (tmp_path / "plugin.json").write_text(manifest)
    assert front.id_in_manifest(tmp_path / "plugin.json") == plugin_id


def test_who_starts_it_by_hand_is_told_on_stderr_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MATTERMOST_PLUGIN", raising=False)
    assert front.run_plugin(Settings(app="shop:app")) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("started by hand: ")
    with pytest.raises(SystemExit) as ended:
        front.run("shop:app")
    assert ended.value.code == 1


def test_a_host_reads_a_refusal_in_the_first_line_of_stdout(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert front._refuse(ConfigError("drain: 'a|b|c|d' came,\nexpected seconds")) == 1
    said = capsys.readouterr()
    assert said.out == said.err == "drain: 'a/b/c/d' came, expected seconds\n"
    assert front._refuse(StartedByHand("by hand")) == 1
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("wire", "most"), [("native", 84), ("netrpc", 28)])
def test_the_handshake_needs_nothing_of_the_app(wire: str, most: int) -> None:
    """What is imported before the handshake: a released server waits 3 s for it, however slow."""
    code = f"""
import os, sys
from mm_asgi.process import front

stdout = os.dup(1)

def announce(self, line):
    os.write(stdout, " ".join(sys.modules).encode())
    os._exit(0)

front.StandardStreams.announce = announce
os.environ["MATTERMOST_PLUGIN"] = "Securely message teams, anywhere."
front.run("shop:app", wire="{wire}", loop="asyncio")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    own = [name for name in loaded if name.partition(".")[0] == "mm_asgi"]
    later = {"api", "commands", "contrib", "loading", "plugin", "site"}
    if wire == "netrpc":
        later |= {"bridge", "dispatch", "hooks", "protocol", "serving"}
        assert "google.protobuf" not in loaded
    assert not {name for name in own if later & set(name.split(".")[1:2])}
    assert "mm_asgi.process.worker" in own
    assert len(own) <= most


@pytest.mark.parametrize(
    ("manifest", "start", "folder"),
    [
        ("plugin.json", "plugin.py", "."),
        ("plugin.json", "server/plugin.py", "."),
        ("server/plugin.json", "server/plugin.py", "server"),
        (None, "server/plugin.py", "server"),
    ],
)
def test_on_a_released_server_a_plugin_goes_to_its_bundle(
    manifest: str | None, start: str, folder: str, tmp_path: Path
) -> None:
    """Such a server starts it in its own folder, and a host with gRPC in the bundle's."""
    program = """
import os, sys
from mm_asgi.process import front

stdout = os.dup(1)

def announce(self, line):
    os.write(stdout, f"{os.getcwd()} {line}".encode())
    os._exit(0)

front.StandardStreams.announce = announce
front.run("shop:app", loop="asyncio")
"""
    bundle, server = tmp_path / "plugins" / "demo", tmp_path / "mattermost"
    for path in (bundle / "server", server):
        path.mkdir(parents=True)
    (bundle / start).write_text(program)
    if manifest is not None:
        (bundle / manifest).write_text("{}")
    environ = {**os.environ, "MATTERMOST_PLUGIN": "Securely message teams, anywhere."}
    environ.pop("MATTERMOST_PLUGIN_API_TARGET", None)
    root = str(Path(front.__file__).parents[2])

    def places(**more: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, os.path.relpath(bundle / start, server)],
            cwd=server,
            env={**environ, "PYTHONPATH": root, **more},
            capture_output=True,
            text=True,
            check=True,
        )
        where, line = done.stdout.split(" ", 1)
        return [where, line.split("|")[4]]

    assert places() == [str((bundle / folder).resolve()), "netrpc"]
    assert places(MATTERMOST_PLUGIN_API_TARGET="") == [str(server), "grpc"]


def test_a_missing_protobuf_is_told_in_the_handshakes_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment = read_environment({"MATTERMOST_PLUGIN": "Securely message teams, anywhere."})
    monkeypatch.setattr(wires, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="protobuf: it is not installed"):
        wires.new_wire("auto", environment)

    def missing(name: str) -> None:
        raise ModuleNotFoundError("No module named 'google'", name="google")

    monkeypatch.setattr(wires, "find_spec", missing)
    with pytest.raises(ConfigError, match="pip install --target"):
        wires.new_wire("auto", environment)
