"""The planted faults of the command line."""

from __future__ import annotations

from tests.mutants.fault import Fault

__all__ = ["CLI_FAULTS"]

CHECK = "mm_asgi/cli/check/findings.py"

BUNDLE = ("tests/unit/bundle",)

CLI_FAULTS: tuple[Fault, ...] = (
    Fault(
        "init: a failure leaves what was written so far",
        "mm_asgi/cli/init/__init__.py",
        "                path.unlink(missing_ok=True)\n",
        "                pass\n",
        ("tests/unit/cli/init",),
        "all_files_or_none",
    ),
    Fault(
        "check: a link to another plugin with a longer name counts as the plugin's",
        "mm_asgi/cli/check/links.py",
        'f"{urlsplit(link).path}/".startswith(f"{prefix}/")',
        "link.startswith(prefix)",
        ("tests/unit/cli/check/test_check.py",),
        "leave_the_plugin",
    ),
    Fault(
        "unpack: a bundle may write outside of its folder",
        "mm_asgi/bundle/unpack.py",
        'if name == ".." or name.startswith("../"):',
        "if False:",
        BUNDLE,
        "cannot_extract or elsewhere",
    ),
    Fault(
        "unpack: links are followed",
        "mm_asgi/bundle/unpack.py",
        "if not (member.isreg() or member.isdir()):",
        "if not (member.isreg() or member.isdir() or member.islnk()):",
        BUNDLE,
        "left_out",
    ),
    Fault(
        "check: a bundle's own manifest is not looked at",
        "mm_asgi/cli/check/start_file.py",
        "        for fault in read_manifest(folder).faults:\n",
        "        for fault in ():\n",
        ("tests/unit/cli/check",),
        "cannot_start or manifest",
    ),
    Fault(
        "bundle: the archive knows when its files were changed",
        "mm_asgi/bundle/archive.py",
        "info.size, info.mtime = len(data), _MADE",
        "info.size, info.mtime = len(data), int(entry.content.stat().st_mtime) if not isinstance(entry.content, bytes) else 0",
        BUNDLE,
        "same_bytes",
    ),
    Fault(
        "bundle: a hidden file goes in",
        "mm_asgi/bundle/app_files.py",
        'return last.startswith(".") or any(',
        "return any(",
        BUNDLE,
        "tracked or no_tool",
    ),
    Fault(
        "bundle: any machine may run what is compiled",
        "mm_asgi/bundle/bundle_start.py",
        ' and platform.machine() == stamp["machine"]',
        "",
        BUNDLE,
        "wrong_python",
    ),
    Fault(
        "check: it runs the target of the settings, which no server does",
        "mm_asgi/cli/check/__init__.py",
        'if name and Path(name).is_file()), "")',
        'if name == "x"), "")',
        ("tests/unit/cli/check/test_check.py",),
        "start_file_counts",
    ),
    Fault(
        "check: a released server's life is not looked at",
        "mm_asgi/cli/check/findings.py",
        "    for other in others:\n",
        "    for other in ():\n",
        ("tests/unit/cli/check/test_check.py",),
        "released_server_alone",
    ),
    Fault(
        "manifest: any version will do",
        "mm_asgi/bundle/manifest.py",
        "    if not isinstance(version, str) or not SEMANTIC_VERSION.fullmatch(version):\n",
        "    if not isinstance(version, str):\n",
        ("tests/unit/bundle",),
        "sentence",
    ),
    Fault(
        "dev: a plugin without a plugin.json has no id",
        "mm_asgi/cli/dev/__init__.py",
        '        wanted["MATTERMOST_PLUGIN_ID"] = plugin_id\n',
        "        pass\n",
        ("tests/unit/cli/dev/test_dev.py",),
        "given_its_id",
    ),
    Fault(
        "check: a blocked loop counts while the app is imported",
        CHECK,
        "wall_time(line) >= imported_at",
        "True",
        ("tests/unit/cli/check/test_check.py",),
        "blocked_loop",
    ),
    Fault(
        "check: the time that a client was gone does not count",
        CHECK,
        "ended - answer.at > LATE_END",
        "ended > LATE_END",
        ("tests/unit/cli/check/test_check.py",),
        "a_second_to_see",
    ),
    Fault(
        "check: a route's folder does not count",
        "mm_asgi/cli/check/probe.py",
        "yield from _route_paths(route, path, depth - 1)",
        'yield from _route_paths(route, "", depth - 1)',
        ("tests/unit/cli/check/test_check.py",),
        "never_asked",
    ),
    Fault(
        "init: a file that is there is written over",
        "mm_asgi/cli/init/__init__.py",
        "if (folder / name).exists() or (folder / name).is_symlink():",
        "if (folder / name).is_symlink():",
        ("tests/unit/cli/init/test_init.py",),
        "nothing_written",
    ),
    Fault(
        "dev: --debug stretches what was given, too",
        "mm_asgi/cli/dev/__init__.py",
        "row.name in defaults and value",
        "row.name in defaults or value",
        ("tests/unit/cli/dev/test_dev.py",),
        "variables",
    ),
    Fault(
        "check: the import's measurement waits for the app's threads",
        "mm_asgi/cli/check/probe.py",
        "    os._exit(0)",
        "    sys.exit(0)",
        ("tests/unit/cli/check/test_check.py",),
        "leaves_something",
    ),
    Fault(
        "init: a version that no server takes is kept",
        "mm_asgi/cli/init/__init__.py",
        "if _SEMANTIC.fullmatch(version):",
        "if version:",
        ("tests/unit/cli/init/test_init.py",),
        "server_takes",
    ),
)
