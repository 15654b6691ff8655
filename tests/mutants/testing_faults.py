"""The planted faults of the test kit."""

from __future__ import annotations

from tests.mutants.fault import Fault

__all__ = ["TESTING_FAULTS"]

TESTING = "mm_asgi/testing/"
TESTS = ("tests/unit/testing",)

TESTING_FAULTS: tuple[Fault, ...] = (
    Fault(
        "kit: half a body is a whole one",
        TESTING + "client_exchange.py",
        "                await self._raise_failure()\n                raise Truncated",
        "                await self._raise_failure()\n                return",
        TESTS,
        "half_a_body",
    ),
    Fault(
        "kit: the exception of a request's body is lost",
        TESTING + "client_exchange.py",
        "            self._upload_failure = exc\n",
        "",
        TESTS,
        "upload_that_fails",
    ),
    Fault(
        "kit: disconnect() does not wait for the app",
        TESTING + "client_exchange.py",
        "await self.app_call.disconnected_or_ended()",
        "pass",
        TESTS,
        "does_not_listen",
    ),
    Fault(
        "kit: an exception behind a 500 is lost",
        TESTING + "client_exchange.py",
        "if message.body_complete and status >= 500:",
        "if False:",
        TESTS,
        "comes_in_its_place",
    ),
    Fault(
        "kit: an exception behind a 500 in pieces is lost",
        TESTING + "client_exchange.py",
        "self._is_error = status >= 500",
        "pass",
        TESTS,
        "comes_at_its_end",
    ),
    Fault(
        "kit: the CSRF field of a streamed body is not looked for",
        TESTING + "client_exchange.py",
        'whole = b"".join([chunk async for chunk in sent.stream])',
        'whole = b""',
        TESTS,
        "csrf_form_field",
    ),
    Fault(
        "kit: the plugin's socket stays",
        TESTING + "engine.py",
        "            self._listener.close()",
        "            pass",
        TESTS,
        "nothing_behind",
    ),
    Fault(
        "kit: a client that closes ends the others' responses",
        TESTING + "wire.py",
        "        if self._entered:\n            return\n",
        "",
        TESTS,
        "closes_leaves",
    ),
    Fault(
        "kit: two runs share one plugin's way to the API",
        TESTING + "engine.py",
        "        if self._plugin.is_frozen and self._plugin.connection.is_used:\n",
        "        if False:\n",
        TESTS,
        "one_place_at_a_time",
    ),
    Fault(
        "S7: the kit reads the settings where the plugin does not look",
        "mm_asgi/plugin.py",
        "commands, self.connection, self._site, self.metrics)",
        "commands, self.connection, Site(self.connection), self.metrics)",
        ("tests/contract/test_S_settings.py",),
        "under_the_fixture",
    ),
    Fault(
        "S7: a run begins with the settings of the one before",
        "mm_asgi/plugin.py",
        "        self._site = Site(self.connection)  # what an earlier run has read is not this one's\n",
        "",
        ("tests/unit/test_site.py",),
        "second_run",
    ),
    Fault(
        "kit: a plugin is frozen by its first test",
        TESTING + "engine.py",
        "        self._plugin.thaw()\n",
        "",
        TESTS,
        "again_and_again",
    ),
    Fault(
        "check_app: a fault that the app catches is not named",
        TESTING + "check.py",
        "                self._found.refused(exc)\n",
        "",
        TESTS,
        "double_start",
    ),
    Fault(
        "check_app: a task that is left is not named",
        TESTING + "check.py",
        'if task.get_name() == "mm_asgi":',
        "if True:",
        TESTS,
        "task_that_is_left",
    ),
    Fault(
        "testing: settled raises what a client took as its answer",
        "mm_asgi/testing/watch.py",
        "if call.is_raised:",
        "if call:",
        ("tests/unit/testing/test_mm.py",),
        "can_be_answered",
    ),
    Fault(
        "kit: as_user leaves the prefix in the path below it",
        TESTING + "asgi.py",
        "strip(request, _go_text(prefix))",
        'strip(request, "")',
        ("tests/unit/testing/test_asgi.py",),
    ),
    Fault(
        "kit: as_user gives another plugin's request a host",
        TESTING + "asgi.py",
        "request.request_uri = request.host = request.remote_addr",
        "request.request_uri = request.remote_addr",
        ("tests/unit/testing/test_asgi.py",),
        "another_plugin",
    ),
    Fault(
        "kit: a prefix that is there is added again",
        TESTING + "request_line.py",
        'path.startswith(prefix + "/")',
        'path.startswith(prefix + "//")',
        ("tests/unit/testing/test_asgi.py",),
    ),
)
