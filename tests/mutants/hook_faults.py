"""The planted faults of hooks and slash commands."""

from __future__ import annotations

from tests.mutants.fault import Fault

__all__ = ["HOOK_FAULTS"]

HOOK_CALLS = "mm_asgi/hook_calls.py"
HOOK_TESTS = (
    *(f"tests/unit/test_{name}.py" for name in ("commands", "hook_calls", "hooks", "hooks_random")),
    "tests/contract/test_H_hooks.py",
)
RELEASED_ONLY = "tests/contract/test_H_released_only.py"

HOOK_FAULTS: tuple[Fault, ...] = (
    Fault(
        "H2: a failed SAML login goes through",
        "mm_asgi/hooks.py",
        "            return self.refuse(NOT_CHECKED, 500) if closed else self.response()",
        "            return self.response()",
        HOOK_TESTS,
        "H2",
    ),
    Fault(
        "H2: an overrun is not answered",
        HOOK_CALLS,
        "            overdue(hook.default(closed=closed))\n",
        "",
        HOOK_TESTS,
        "H2 or overrun",
    ),
    Fault(
        "H2: the host's deadline does not count",
        HOOK_CALLS,
        "        if left is None:\n            left = hook.deadline\n",
        "        left = hook.deadline\n",
        HOOK_TESTS,
        "deadline",
    ),
    Fault(
        "H2: an overrun is not cancelled",
        "mm_asgi/functions.py",
        "        task.cancel()\n        overrun()\n",
        "        overrun()\n",
        HOOK_TESTS,
        "overrun",
    ),
    Fault(
        "H2: the log does not say whose request",
        HOOK_CALLS,
        "            LOG_CONTEXT.set(LogContext(context.request_id))\n",
        "            LogContext(context.request_id)\n",
        HOOK_TESTS,
        "H2",
    ),
    Fault(
        "H2: after the stop functions are called",
        HOOK_CALLS,
        "        if not admitted:\n",
        "        if False:\n",
        HOOK_TESTS,
        "after_the_stop",
    ),
    Fault(
        "H2: gRPC keeps the default of an overrun to itself",
        "mm_asgi/grpc_hooks.py",
        "        tasks.start(stream.write(default, last=True), rpc.name)\n",
        "        pass\n",
        HOOK_TESTS,
        "H2 or overrun",
    ),
    Fault(
        "H2: gRPC takes the host's deadline for a duration",
        "mm_asgi/grpc_hooks.py",
        "deadline - asyncio.get_running_loop().time()",
        "deadline",
        HOOK_TESTS,
        "deadline",
    ),
    Fault(
        "H1: a hook that is not listed is answered as a fault",
        "mm_asgi/grpc_hooks.py",
        "    except NotListed as exc:\n",
        "    except ZeroDivisionError as exc:\n",
        HOOK_TESTS,
        "listed or no_hooks",
    ),
    Fault(
        "H1: gRPC lists the hooks of released servers",
        "mm_asgi/dispatch.py",
        "            names = [name for name in names if name in self.rpcs]\n",
        "",
        (RELEASED_ONLY,),
        "H1",
    ),
    Fault(
        "H1: the hooks that are never called are named each time",
        "mm_asgi/dispatch.py",
        "            self._said.add(text)\n",
        "",
        (RELEASED_ONLY,),
        "H1",
    ),
    Fault(
        "H3: StopIteration in a thread",
        "mm_asgi/functions.py",
        "    except StopIteration as exc:\n",
        "    except NotImplementedError as exc:\n",
        HOOK_TESTS,
        "H3",
    ),
    Fault(
        "H4: None empties the post",
        "mm_asgi/hooks.py",
        '        if value is None and self.field != "healthy":\n            return self.response()\n',
        '        if value is None and self.field == "modified_post":\n            return self.response(modified_post={})\n        if value is None and self.field != "healthy":\n            return self.response()\n',
        HOOK_TESTS,
        "H4",
    ),
    Fault(
        "H5: an empty refusal is consent",
        "mm_asgi/hooks.py",
        "        text = (text or REFUSED).encode",
        "        text = text.encode",
        HOOK_TESTS,
        "H5",
    ),
    Fault(
        "H5: the text is put where the host drops it",
        "mm_asgi/hooks.py",
        '            error = {"id": text, "message"',
        '            error = {"id": "", "message"',
        HOOK_TESTS,
        "H5",
    ),
    Fault(
        "hooks: a dict is a message",
        "mm_asgi/hooks.py",
        " or isinstance(value, dict):",
        ":",
        HOOK_TESTS,
        "nonsense",
    ),
    Fault(
        "hooks: any number of parameters",
        "mm_asgi/plugin.py",
        "        given.bind(*hook.parameters)\n",
        "        given.bind_partial()\n",
        HOOK_TESTS,
        "no_hook",
    ),
    Fault(
        "commands: the rest of the line is cut at a word",
        "mm_asgi/commands.py",
        "            if is_last and parameter.kind is str and len(words) > 1:\n",
        "            if is_last and parameter.kind is str and len(words) > 99:\n",
        HOOK_TESTS,
        "words_become",
    ),
    Fault(
        "commands: too many words are dropped",
        "mm_asgi/commands.py",
        "        if words:\n            raise",
        "        if words and not values:\n            raise",
        HOOK_TESTS,
        "words_become",
    ),
    Fault(
        "commands: without an API each command complains",
        "mm_asgi/plugin.py",
        "                    return  # the same for the others: said once\n",
        "                    continue\n",
        HOOK_TESTS,
        "said_once or cannot_be_told",
    ),
)
