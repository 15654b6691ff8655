"""The planted faults of the simulated host."""

from __future__ import annotations

from tests.mutants.fault import Fault

__all__ = ["HOST_FAULTS"]

PAGE = ("tests/unit/host/page/test_host_page.py", "tests/unit/host/page/test_host_page_feed.py")

RELEASED = ("tests/unit/host/released",)

HOST_FAULTS: tuple[Fault, ...] = (
    Fault(
        "released host: calls that were not waited for are served in order",
        "mm_asgi/host/released/writer_service.py",
        "self._waiting.pop()",
        "self._waiting.pop(0)",
        RELEASED,
        "worst_order",
    ),
    Fault(
        "released host: it takes any type for a field",
        "mm_asgi/host/released/go_values.py",
        "            _check_field(field, one)\n",
        "            pass\n",
        RELEASED,
        "no_place_for",
    ),
    Fault(
        "released host: a post loses what an answer leaves out",
        "mm_asgi/host/released/hook_values.py",
        "            returned = merged(struct, before, returned)\n",
        "",
        RELEASED,
        "says_nothing",
    ),
    Fault(
        "public: a part of a file is one byte short",
        "mm_asgi/host/http/file_request.py",
        "min(end, size - 1) - start + 1",
        "min(end, size - 1) - start",
        ("tests/contract/test_host_simulated.py",),
        "public",
    ),
    Fault(
        "public: a browser never hears that it has the file",
        "mm_asgi/host/http/file_request.py",
        "return 304 if int(changed) <= since else 0",
        "return 304 if changed <= since else 0",
        ("tests/contract/test_host_simulated.py",),
        "public",
    ),
    Fault(
        "page: any Host header will do",
        "mm_asgi/host/page/guard.py",
        "name == listens.lower()",
        "name",
        PAGE,
        "strangers",
    ),
    Fault(
        "page: another site's form may post",
        "mm_asgi/host/page/guard.py",
        'if method == "POST":',
        'if method == "PUT":',
        PAGE,
        "strangers",
    ),
    Fault(
        "page: a start after a failed one is a first start",
        "mm_asgi/host/page/page_state.py",
        "(PageState.FAILED, GateStep.HELD): PageState.RESTARTING",
        "(PageState.FAILED, GateStep.HELD): PageState.STARTING",
        ("tests/unit/host/page/test_page_state.py",),
    ),
    Fault(
        "page: a gate that refuses is one that holds",
        "mm_asgi/host/page/app.py",
        "return GateStep.HELD if self._gate.holds else GateStep.REFUSED",
        "return GateStep.HELD",
        PAGE,
        "told_apart",
    ),
    Fault(
        "page: what waits for a slow reader grows without end",
        "mm_asgi/host/page/feed.py",
        "if self._size > WAITING:",
        "if not self._size:",
        PAGE,
        "slow_reader",
    ),
    Fault(
        "page: a reader that is stuck stays",
        "mm_asgi/host/page/feed.py",
        "async with asyncio.timeout(STUCK):",
        "async with asyncio.timeout(None):",
        PAGE,
        "stuck",
    ),
    Fault(
        "page: a hook of another request is shown as this one's",
        "mm_asgi/host/page/acts.py",
        "if action_of(hook) == context.request_id",
        "if action_of(hook)",
        PAGE,
        "becomes_of_a_post",
    ),
    Fault(
        "host: what is written after WriteTimeout goes out",
        "mm_asgi/host/http/line.py",
        "now >= self._write_until",
        "now < 0",
        ("tests/unit/host/http/test_host_timeouts.py",),
        "written_late",
    ),
    Fault(
        "host: a body that ReadTimeout ends cancels nothing",
        "mm_asgi/host/http/body.py",
        "self.broken = self.late = True",
        "self.late = True",
        ("tests/unit/host/http/test_host_timeouts.py",),
        "does_not_come",
    ),
    Fault(
        "host: a third failed health check restarts the plugin",
        "mm_asgi/host/plugin/health.py",
        "now - self._failures[0] <= WINDOW",
        "now - self._failures[0] < WINDOW",
        ("tests/unit/host/plugin/test_host_health.py",),
        "three_failures",
    ),
    Fault(
        "host: a large form is looked into",
        "mm_asgi/host/http/rules.py",
        " and len(body) <= FORM_LIMIT",
        "",
        ("tests/unit/host/http/test_host_rules.py",),
        "10_mib",
    ),
)
