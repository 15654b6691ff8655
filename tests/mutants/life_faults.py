"""The planted faults of the process and of a plugin's life in it."""

from __future__ import annotations

from tests.mutants.fault import Fault

__all__ = ["LIFE_FAULTS"]

CONTRACT = ("tests/contract",)
HANDLER = "mm_asgi/bridge/handler.py"
LIFESPAN = "mm_asgi/bridge/lifespan.py"
DISPATCH = "mm_asgi/dispatch.py"
LIFE = "mm_asgi/life.py"
LIFE_TESTS = ("tests/contract", "tests/unit/test_life.py", "tests/unit/test_life_walk.py")
TASKS = "mm_asgi/tasks.py"
PROCESS_TESTS = "tests/unit/process"
LISTENER = "mm_asgi/goplugin/listener.py"

LIFE_FAULTS: tuple[Fault, ...] = (
    Fault(
        "L1: the second Implemented imports again",
        LIFE,
        "        if not self._may(LifeStep.LOAD):\n            return\n        self._move(LifeStep.LOAD)\n",
        "        if self._may(LifeStep.LOAD):\n            self._move(LifeStep.LOAD)\n",
        ("tests/unit/test_life.py",),
        "phases or import",
    ),
    Fault(
        "L1: an import that failed serves HTTP",
        DISPATCH,
        "if loaded is not None and loaded.app is not None:",
        "if True:",
        LIFE_TESTS,
        "L1 or H1 or fault or import",
    ),
    Fault(
        "L2: a request does not wait for the start-up",
        LIFE,
        "                await self._settled.wait()\n        except TimeoutError:\n            logger.warning(",
        "                pass\n        except TimeoutError:\n            logger.warning(",
        LIFE_TESTS,
        "L2",
    ),
    Fault(
        "L3: a failed start-up is taken for an app without lifespan",
        LIFESPAN,
        'if not self._asked and self._mode == "auto":',
        'if self._mode == "auto":',
        ("tests/contract", "tests/unit"),
        "L3 or lifespan",
    ),
    Fault(
        "L4: event streams are not told of the drain",
        HANDLER,
        "            cycle.drain()",
        "            pass",
        CONTRACT,
        "test_L4_",
    ),
    Fault(
        "L4: lifespan.shutdown is forgotten",
        LIFE,
        "        if self._lifespan is not None:\n            left",
        "        if self._lifespan is None:\n            left",
        CONTRACT,
        "test_L4_",
    ),
    Fault(
        "L4: Shutdown during a drain waits for it",
        TASKS,
        "self._drain_until = min(self._drain_until, _cancel_at(seconds))",
        "pass",
        ("tests/unit/test_tasks.py", "tests/unit/test_life_stop.py"),
    ),
    Fault(
        "L5: nobody looks whether the host lives",
        "mm_asgi/observe/watchdog.py",
        "if not self._orphaned and os.getppid() != self._parent:",
        "if False:",
        ("tests/unit/observe", "tests/contract"),
        "watchdog or orphan or L5",
    ),
    Fault(
        "L9: anybody may enter the socket's directory",
        LISTENER,
        "os.mkdir(directory, 0o700)",
        "os.mkdir(directory, 0o755)",
        ("tests/unit/goplugin/test_listener.py",),
    ),
    Fault(
        "L7: a line may be as long as it likes",
        "mm_asgi/observe/hclog.py",
        "LINE_LIMIT = 64 * 1024\n",
        "LINE_LIMIT = 64 * 1024 * 1024\n",
        ("tests/unit/observe",),
    ),
    Fault(
        "L8: a request's log line has no request_id",
        HANDLER,
        'LOG_CONTEXT.set(LogContext(facts["request_id"], facts["user_id"]))',
        'LOG_CONTEXT.set(LogContext("", facts["user_id"]))',
        ("tests/contract",),
        "R8 or L8",
    ),
    Fault(
        "L10: a blocked loop is never ended",
        "mm_asgi/observe/watchdog.py",
        "self._end(EXIT_BLOCKED, lambda: _report_kill(seconds))",
        "_report_kill(seconds)",
        ("tests/unit/observe", "tests/contract"),
        "watchdog or L10",
    ),
    Fault(
        "H1: ServeMetrics is listed",
        DISPATCH,
        'names.append("ServeHTTP")',
        'names += ["ServeHTTP", "ServeMetrics"]',
        LIFE_TESTS,
        "H1 or implemented",
    ),
    Fault(
        "H6: on_configuration_change waits for the host",
        LIFE,
        '            await self._call_hook("on_configuration_change")  # this host does not (row H6)',
        "            pass",
        LIFE_TESTS,
        "H6 or configuration",
    ),
    Fault(
        "the life: a stop is taken for a failed start-up",
        LIFE,
        "        active = self.phase in (Phase.STARTING, Phase.ACTIVE)\n",
        "        active = self.phase is Phase.ACTIVE\n",
        ("tests/unit/test_life_stop.py",),
    ),
    Fault(
        "the life: a start-up that the stop has overtaken brings the plugin back",
        LIFE,
        "    (Phase.STOPPING, LifeStep.SUCCEED): Phase.STOPPING,\n",
        "    (Phase.STOPPING, LifeStep.SUCCEED): Phase.ACTIVE,\n",
        ("tests/unit/test_life_walk.py",),
    ),
    Fault(
        "the life: a start-up that was cancelled counts as done",
        LIFE,
        "        outcome = LifeStep.FAIL\n",
        "        outcome = LifeStep.SUCCEED\n",
        ("tests/unit/test_life_walk.py",),
    ),
    Fault(
        "the life: a later stop puts the end off",
        LIFE,
        "        if self._stopping is not None and at < self._stop_at:\n",
        "        if self._stopping is not None:\n",
        ("tests/unit/test_life_stop.py", "tests/unit/test_life_walk.py"),
    ),
    Fault(
        "R11: sys.exit() in a task of the app ends the plugin",
        "mm_asgi/process/event_loop.py",
        "            if task.done():\n                raise\n",
        "            raise\n",
        ("tests/unit/process/test_event_loop.py",),
        "sys_exit",
    ),
    Fault(
        "L1: an import has all the time",
        "mm_asgi/loading.py",
        "    with time_limit(settings.import_budget, patience):\n",
        "    with time_limit(0, patience):\n",
        ("tests/contract/test_L_start.py",),
        "over_its_budget and not go",
    ),
    Fault(
        "an empty target of the API counts as an absent one",
        "mm_asgi/goplugin/environ.py",
        'api_target=environ.get("MATTERMOST_PLUGIN_API_TARGET"),',
        'api_target=environ.get("MATTERMOST_PLUGIN_API_TARGET") or None,',
        (PROCESS_TESTS,),
    ),
    Fault(
        "on a released server a plugin stays in the server's folder",
        "mm_asgi/process/front.py",
        "        os.chdir(bundle)\n",
        "        pass\n",
        (PROCESS_TESTS,),
        "goes_to_its_bundle",
    ),
    Fault(
        "net/rpc imports the hooks before the handshake",
        "mm_asgi/netrpc/plugin_wire.py",
        "        await self._endpoint.start(listener, tls=tls)\n",
        "        await self._endpoint.start(listener, tls=tls)\n        self.load()\n",
        (PROCESS_TESTS,),
        "handshake_needs",
    ),
    Fault(
        "L9: a plugin's directory has no lock",
        LISTENER,
        "                self._lock = _locked(directory)\n",
        "                pass\n",
        ("tests/unit/goplugin/test_listener.py",),
        "killed_plugin",
    ),
    Fault(
        "L9: young directories are removed",
        LISTENER,
        "    young = time.time() - facts.st_mtime < _YOUNGEST\n",
        "    young = False\n",
        ("tests/unit/goplugin/test_listener.py",),
        "killed_plugin",
    ),
    Fault(
        "a missing protobuf is not told to the admin",
        "mm_asgi/process/wires.py",
        "    if found is None:\n",
        "    if False:\n",
        (PROCESS_TESTS,),
        "missing_protobuf",
    ),
    Fault(
        "the handshake has a pipe too many",
        "mm_asgi/goplugin/handshake.py",
        "address, protocol]",
        'address, protocol, ""]',
        ("tests/unit/goplugin/test_handshake.py",),
    ),
    Fault(
        "L4: who swallows a cancel is not named",
        TASKS,
        "for task, name in rest.values() if not task.done())",
        "for task, name in rest.values() if task.cancelled())",
        ("tests/unit/test_tasks.py",),
        "swallows",
    ),
    Fault(
        "L10: a library's line is named and not the app's",
        "mm_asgi/observe/stacks.py",
        "    place = caller or frame\n",
        "    place = frame\n",
        ("tests/unit/observe/test_stacks.py",),
    ),
)
