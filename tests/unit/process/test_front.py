"""The front of a plugin's process; what it is with a worker, tests/contract/test_L_* show."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from mm_asgi.errors import ConfigError
from mm_asgi.goplugin.environ import StartedByHand
from mm_asgi.process import front
from mm_asgi.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


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


def test_the_handshake_needs_nothing_of_the_app() -> None:
    """What is imported before the handshake: the host waits 3 s for it on a slow machine."""
    code = (
        "import sys, mm_asgi.process.front, mm_asgi.wire.http2.server\n"
        "print(*(name for name in sys.modules if name.partition('.')[0] == 'mm_asgi'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    later = {"api", "commands", "contrib", "loading", "plugin", "site"}
    assert not {name for name in loaded if later & set(name.split(".")[1:2])}
    assert len(loaded) <= 84
