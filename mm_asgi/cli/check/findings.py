"""The findings in a plugin's life and import, each one sentence with advice. Pure.

An error breaks something on a server, at least for some requests. A warning does not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from mm_asgi.cli.check.imports import Imported
from mm_asgi.cli.check.links import leaving
from mm_asgi.cli.check.observed import HEAD_WAIT, wall_time
from mm_asgi.cli.terminal import is_raw, last_sentence, start_reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mm_asgi.cli.check.observed import Observed, ObservedAnswer
    from mm_asgi.host import LogLine

__all__ = ["LIMITS", "Code", "CheckFinding", "find"]

LIMITS = {
    "handshake": 3.0,
    "import": 25.0,
    "activate": 30.0,
    "deactivate": 30.0,
    "shutdown": 2.0,
}
"""Seconds that a server waits. For the import it is the default of import-budget. For the handshake it is
a Go plugin's limit; a Python plugin has 10, after which the start has failed already."""

SLOW_IMPORT = 10.0
"""Seconds: a server's machine may take more than twice as long, and the server gives up at 30."""

LATE_END = 1.0
"""Seconds that an app has to notice that a client left; http.disconnect comes within 0.1."""

FLOOD = 1000
"""Printed lines in one short life; a guess at when they are no longer intended."""

_BLOCKED = "the event loop has been blocked for"
_DROPPED = re.compile(r"\d+ log lines were dropped", re.ASCII)
_CANCELLED = re.compile(r"drain: \d+ tasks were still running and are cancelled: (.+)")


Code = Literal[
    "start",
    "slow-handshake",
    "slow-import",
    "blocked-loop",
    "app-fault",
    "server-error",
    "no-answer",
    "broken-answer",
    "ignores-disconnect",
    "lifespan",
    "drain",
    "killed",
    "crash",
    "printed",
    "print-flood",
    "stderr",
    "public-route",
    "leaves-prefix",
    "start-file",
    "bundle",
    "manifest",
    "two-targets",
    "log",
]


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """One finding.

    Attributes:
        code: a stable name, listed in docs/reference/check.md.
        level: ``error`` or ``warning``.
        text: one sentence, with what to do.
    """

    code: Code
    level: Literal["error", "warning"]
    text: str


_CODES: dict[str, Code] = {
    "mm_asgi.lifespan": "lifespan",
    "mm_asgi.bridge": "app-fault",
    "mm_asgi.tasks": "drain",
}


_ELSEWHERE = "on a released server: "

_LIVES_ALIKE: frozenset[Code] = frozenset(("printed", "print-flood", "slow-import", "blocked-loop"))
"""Codes that a second life only repeats, in other figures."""


def find(
    imported: Imported,
    life: Observed,
    others: Iterable[Observed] = (),
    bundle: Iterable[CheckFinding] = (),
) -> list[CheckFinding]:
    """Return all findings, errors first.

    Args:
        imported: how the import went.
        life: what the plugin's life showed.
        others: its lives with a released server; what they show alike is said once.
        bundle: findings about the files that a server gets.
    """
    found = [*_life_findings(imported, life), *_route_findings(imported)]
    known = {finding.text for finding in found}
    for other in others:
        more = (each for each in _life_findings(Imported(), other) if each.text not in known)
        found += [
            replace(each, text=_ELSEWHERE + each.text)
            for each in more
            if each.code not in _LIVES_ALIKE
        ]
    found += bundle
    return sorted(dict.fromkeys(found), key=lambda finding: finding.level)


def _life_findings(imported: Imported, life: Observed) -> list[CheckFinding]:
    return [
        *_start_findings(life),
        *_import_findings(imported, life),
        *_log_findings(life),
        *_answer_findings(life),
        *_stop_findings(life),
        *_printed_findings(imported, life),
    ]


def _start_findings(life: Observed) -> Iterator[CheckFinding]:
    if life.failure is not None:
        raw = {line.message for line in life.lines if is_raw(line)}
        fate = "" if life.failure.stage == "activate" else life.fate
        reason = start_reason(life.failure.stage, life.failure.error, fate, raw)
        yield CheckFinding("start", "error", f"the plugin does not start: {reason}")
    elif (seconds := life.seconds.get("handshake", 0.0)) > LIMITS["handshake"]:
        yield CheckFinding(
            "slow-handshake",
            "warning",
            f"the handshake took {seconds:.1f} s, and a server may wait 3 s for it (10 s for a plugin"
            " with the runtime python): let plugin.py import nothing but mm_asgi",
        )


def _import_findings(imported: Imported, life: Observed) -> Iterator[CheckFinding]:
    seconds = life.seconds.get("implemented", imported.seconds or 0.0)
    if life.failure is None and seconds > SLOW_IMPORT:
        slowest = max(imported.slowest, key=lambda module: module.own, default=None)
        most = f"; most of it is {slowest.name}, {slowest.own:.1f} s" if slowest else ""
        yield CheckFinding(
            "slow-import",
            "warning",
            f"the app's import took {seconds:.1f} s of the 25 s of import-budget{most}:"
            " import late what is not needed at once",
        )


def _log_findings(life: Observed) -> Iterator[CheckFinding]:
    """Yield findings from the runtime's log lines about the app, and go-plugin's about the process."""
    imported_at = life.active_at - life.seconds.get("activate", 0.0)
    for line in life.lines:
        if line.source == "host" and "would have ended the Mattermost server" in line.message:
            yield CheckFinding("stderr", "error", line.message)
        elif line.source == "plugin" and line.message.startswith(_BLOCKED):
            # An import blocks the loop, too, but has a finding of its own.
            if life.failure is None and wall_time(line) >= imported_at:
                yield _blocked_finding(line, life)
        elif line.module.startswith("mm_asgi.") and line.level in ("warn", "error"):
            yield from _runtime_findings(line, life)
    if dropped := sum(int(line.message.partition(" ")[0]) for line in life.lines if _is_drop(line)):
        text = f"{dropped} log lines were dropped: the host did not read them in time"
        yield CheckFinding("print-flood", "warning", f"{text}: print less, or log")


def _is_drop(line: LogLine) -> bool:
    return line.module == "mm_asgi.streams" and bool(_DROPPED.match(line.message))


def _runtime_findings(line: LogLine, life: Observed) -> Iterator[CheckFinding]:
    if life.failure is not None and line.module in ("mm_asgi.life", "mm_asgi.lifespan"):
        return  # the finding about the start has it
    code = _CODES.get(line.module, "log")
    if line.module == "mm_asgi.watchdog" and line.message.startswith("thread "):
        return  # stacks, for a person to read
    if _is_drop(line):
        return  # one finding counts all of them
    if code == "drain":
        left = {_task_name(answer, life) for answer in life.answers if answer.left}
        if _cancelled_tasks(line) and _cancelled_tasks(line) <= left:
            return  # they have findings of their own
    text = line.message.rstrip()
    if exception := str(line.fields.get("exception") or ""):
        # The class without its module, AppProtocolError instead of mm_asgi.errors.AppProtocolError.
        kind, colon, rest = last_sentence(exception).partition(": ")
        text += f": {kind.rpartition('.')[2]}{colon}{rest}"
    if path := _path_of(line, life):
        text = f"GET {path}: {text}"
    yield CheckFinding(code, "error" if line.level == "error" else "warning", text)


def _blocked_finding(line: LogLine, life: Observed) -> CheckFinding:
    serving = life.active_at <= wall_time(line) < life.stop_at
    when = "while it served" if serving else "while it started or stopped"
    return CheckFinding(
        "blocked-loop",
        "error" if serving else "warning",
        f"{line.message} {when}: nothing else runs meanwhile, no request and no hook; await it, or"
        " use asyncio.to_thread",
    )


def _path_of(line: LogLine, life: Observed) -> str:
    """Return the path of the request that a line is about: the requests do not overlap."""
    if not line.fields.get("request_id"):
        return ""
    at = wall_time(line)
    for answer in life.answers:
        if answer.at - answer.seconds - 0.05 <= at <= answer.at + 0.05:
            return answer.path
    return ""


def _answer_findings(life: Observed) -> Iterator[CheckFinding]:
    for answer in life.answers:
        path = answer.path
        if answer.status is None and not answer.broken:
            text = f"GET {path}: no answer began within {HEAD_WAIT:g} s"
            yield CheckFinding("no-answer", "warning", f"{text}: ask for another path with --get")
        elif answer.broken:
            text = f"GET {path}: the connection ended before the answer did"
            yield CheckFinding("broken-answer", "error", f"{text}; the log says why")
        elif (answer.status or 0) >= 500 and not (life.crashed or _is_explained(answer, life)):
            text = f"GET {path}: it was answered {answer.status}"
            yield CheckFinding("server-error", "error", f"{text}; the app's log says why")
        if out := leaving(answer.links, life.prefix):
            yield _link_finding(path, out, life.prefix)
        if answer.left and not life.crashed:
            yield from _disconnect_findings(answer, life)
    if life.crashed:
        text = f"the plugin's process ended by itself ({life.fate})"
        yield CheckFinding(
            "crash", "error", f"{text}: a server starts it anew, and gives it up at the third time"
        )


def _link_finding(path: str, out: list[str], prefix: str) -> CheckFinding:
    more = f" and {len(out) - 3} more" if len(out) > 3 else ""
    return CheckFinding(
        "leaves-prefix",
        "warning",
        f"GET {path}: it links to {', '.join(out[:3])}{more}, which a browser asks Mattermost for and"
        f" not the plugin at {prefix}: make such links relative, or put root_path before them",
    )


def _is_explained(answer: ObservedAnswer, life: Observed) -> bool:
    """Return whether a line of the runtime explains why an answer is a server's error."""
    faults = (line for line in life.lines if line.module == "mm_asgi.bridge")
    return any(line.level == "error" and _path_of(line, life) == answer.path for line in faults)


def _disconnect_findings(answer: ObservedAnswer, life: Observed) -> Iterator[CheckFinding]:
    """Yield a finding if the app did not notice that a client had left."""
    ended = life.ended_at.get(answer.path)
    if _was_drained(answer, life) or (ended is None and life.ended_at):
        how = "until the plugin stopped"
    elif ended is not None and ended - answer.at > LATE_END:
        how = f"for {ended - answer.at:.1f} s"
    else:
        return
    yield CheckFinding(
        "ignores-disconnect",
        "warning",
        f"GET {answer.path}: the app went on {how} after its client had left: stop at"
        " http.disconnect, which receive() returns",
    )


def _was_drained(answer: ObservedAnswer, life: Observed) -> bool:
    return any(_task_name(answer, life) in _cancelled_tasks(line) for line in life.lines)


def _cancelled_tasks(line: LogLine) -> set[str]:
    """Return the tasks that the stop had to cancel."""
    found = _CANCELLED.fullmatch(line.message)
    return set(found[1].split(", ")) if found else set()


def _task_name(answer: ObservedAnswer, life: Observed) -> str:
    """Return the runtime's name of a request's task."""
    return f"GET {life.prefix}{answer.path}"


def _stop_findings(life: Observed) -> Iterator[CheckFinding]:
    if life.killed:
        yield CheckFinding(
            "killed",
            "error",
            f"shutdown: the process had not ended {LIMITS['shutdown']:g} s after Shutdown and was"
            " killed (SIGKILL): end what on_deactivate, lifespan.shutdown or a thread still does",
        )


def _printed_findings(imported: Imported, life: Observed) -> Iterator[CheckFinding]:
    at = {entry["text"]: entry["place"] for entry in imported.printed}
    for name, stream in life.printed.items():
        lines = "1 line was" if stream.lines == 1 else f"{stream.lines} lines were"
        where = f" at {at[stream.first]}" if stream.first in at else ""
        first = stream.first if len(stream.first) <= 60 else stream.first[:60] + "..."
        flood = stream.lines >= FLOOD
        advice = "that fills a server's log: use logging" if flood else "use logging, with a level"
        yield CheckFinding(
            "print-flood" if flood else "printed",
            "warning",
            f"{name}: {lines} printed, the first{where} is {first!r}; {advice}",
        )


def _route_findings(imported: Imported) -> Iterator[CheckFinding]:
    for route in imported.public or ():
        yield CheckFinding(
            "public-route",
            "error",
            f"the route {route} is never asked: a server serves /public itself, from the plugin's"
            " folder public; choose another path",
        )
