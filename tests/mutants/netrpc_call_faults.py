"""The planted faults of hooks and API over net/rpc: answers, files, bodies, statuses."""

from __future__ import annotations

from tests.mutants.fault import Fault

__all__ = ["NETRPC_CALL_FAULTS"]

ROOM = "mm_asgi/wire/netrpc"
OPEN, HOOKS = "mm_asgi/netrpc/open_call.py", "mm_asgi/netrpc/hook_server.py"
FILE, WIRE = "mm_asgi/netrpc/file_hook.py", "mm_asgi/netrpc/plugin_wire.py"
CHANNEL, CALLER = f"{ROOM}/api_channel.py", f"{ROOM}/api_calls.py"
STREAMS, PERMITS = f"{ROOM}/api_streams.py", f"{ROOM}/permits.py"
TRANSLATE = f"{ROOM}/translate.py"

OPENED = ("tests/unit/netrpc/test_open_call.py",)
SERVED = ("tests/unit/netrpc/test_hook_server.py",)
FILES = ("tests/unit/netrpc/test_file_hook.py",)
WIRED = ("tests/unit/netrpc/test_plugin_wire.py",)
CALLED = ("tests/wire/netrpc/test_api_channel.py",)
STREAMED = ("tests/wire/netrpc/test_api_streams.py",)
PERMITTED = ("tests/wire/netrpc/test_permits.py",)
TRANSLATED = ("tests/wire/netrpc/test_translate.py",)

NETRPC_CALL_FAULTS: tuple[Fault, ...] = (
    Fault(
        "H1: metrics are listed without an app for them",
        "mm_asgi/dispatch.py",
        "        if loaded is not None and loaded.metrics is not None:\n",
        "        if loaded is not None:\n",
        (*SERVED, "tests/unit/netrpc"),
    ),
    Fault(
        "H1: metrics are answered by the plugin's own app",
        HOOKS,
        "            self._serve_metrics(call, answerer, session)\n",
        "            self._serve_http(call, answerer, session)\n",
        SERVED,
    ),
    Fault(
        "A1: a dynamic argument is sent as a text",
        f"{ROOM}/command_calls.py",
        '"*model.AutocompleteDynamicListArg"',
        '"*model.AutocompleteTextArg"',
        CALLED,
    ),
    Fault(
        "netrpc: an answer that cannot be sent is an error of net/rpc",
        OPEN,
        "                self._reply_default()\n",
        "                self._answerer.refuse(self._call, PLUGIN_FAILED)\n",
        OPENED,
    ),
    Fault(
        "netrpc: a hook that failed on its way is an error of net/rpc",
        OPEN,
        "            self.is_answered = True\n            self._reply_default()\n",
        "            self.is_answered = True\n            self._answerer.refuse(self._call, PLUGIN_FAILED)\n",
        SERVED,
    ),
    Fault(
        "netrpc: an updated post that stays is not sent back",
        OPEN,
        "            values[field] = before\n",
        "            pass\n",
        OPENED,
    ),
    Fault(
        "netrpc: posts that stay are not sent back",
        OPEN,
        "            return given  # type: ignore[no-any-return]\n",
        "            return []\n",
        OPENED,
    ),
    Fault(
        "netrpc: a changed post of a list loses what its message does not know",
        OPEN,
        "before.get(post.id)",
        "None",
        OPENED,
    ),
    Fault(
        "netrpc: a newer server's fields stop an answer",
        OPEN,
        "known(_shape_of(self.name, given), self.arguments.get(given))",
        "self.arguments.get(given)",
        OPENED,
    ),
    Fault(
        "netrpc: a config that is not taken is not told of",
        OPEN,
        '        if self.name == "ConfigurationWillBeSaved" and response.HasField("modified_config"):\n',
        "        if False:\n",
        OPENED,
    ),
    Fault(
        "netrpc: a field that cannot be blanked is not told of",
        OPEN,
        "            if names:\n",
        "            if False:\n",
        OPENED,
    ),
    Fault(
        "netrpc: a hook that net/rpc lacks is named",
        OPEN,
        "for name in response.hooks if name in HOOKS]",
        "for name in response.hooks]",
        SERVED,
    ),
    Fault(
        "netrpc: the driver's stream is not dialled",
        HOOKS,
        "            session.link.dial(driver, StreamOwner())\n",
        "            pass\n",
        SERVED,
    ),
    Fault(
        "netrpc: a stop does not wait for hooks",
        HOOKS,
        "        if rpc.is_drained:\n",
        "        if False:\n",
        SERVED,
    ),
    Fault(
        "netrpc: an Implemented that failed is no hooks",
        HOOKS,
        'None if name == "Implemented" else rpc.default',
        "rpc.default",
        SERVED,
    ),
    Fault(
        "netrpc: a failure of an undrained call is not logged",
        HOOKS,
        '            logger.error("the task %s failed", task.get_name(), exc_info=failure)\n',
        "            pass\n",
        SERVED,
    ),
    Fault(
        "netrpc: a file that breaks off is a fault of ours",
        FILE,
        "        except ConnectionError as exc:\n",
        "        except ZeroDivisionError as exc:\n",
        FILES,
    ),
    Fault(
        "netrpc: a replacement is not sent",
        FILE,
        "            self._replacement.write(content)\n",
        "            pass\n",
        FILES,
    ),
    Fault(
        "netrpc: more is sent than permitted",
        PERMITS,
        "until = min(permitted, len(left))",
        "until = len(left)",
        PERMITTED,
    ),
    Fault(
        "netrpc: a permission below zero is taken",
        PERMITS,
        "if value & 1 or value >= 2**64:",
        "if value >= 2**64:",
        PERMITTED,
    ),
    Fault(
        "netrpc: a body over its limit goes on",
        PERMITS,
        "        pipe.reset()\n        raise\n    pipe.discard()\n    return",
        "        pipe.discard()\n        raise\n    pipe.discard()\n    return",
        PERMITTED,
    ),
    Fault(
        "netrpc: a sending that is given up keeps its bytes",
        PERMITS,
        "whoever should read it has ended\n        pipe.reset()\n",
        "whoever should read it has ended\n        pipe.discard()\n",
        PERMITTED,
    ),
    Fault(
        "netrpc: a call on a closed channel is the caller's fault",
        CHANNEL,
        "        if self._is_closed:\n",
        "        if False:\n",
        CALLED,
    ),
    Fault(
        "netrpc: the version that has a call is not named",
        CHANNEL,
        "        if since:\n",
        "        if False:\n",
        CALLED,
    ),
    Fault(
        "netrpc: a config is saved",
        CHANNEL,
        '        if name == "SaveConfig":\n',
        "        if False:\n",
        CALLED,
    ),
    Fault(
        "netrpc: a lost connection is internal",
        CHANNEL,
        "            raise RPCError(StatusCode.UNAVAILABLE, str(exc), path=path) from None\n",
        "            raise RPCError(StatusCode.INTERNAL, str(exc), path=path) from None\n",
        CALLED,
    ),
    Fault(
        "netrpc: an answer of another form is the caller's fault",
        CALLER,
        "        except (AttributeError, TypeError, ValueError) as exc:\n",
        "        except ZeroDivisionError as exc:\n",
        CALLED,
    ),
    Fault(
        "netrpc: PluginHTTPStream is asked for each time",
        STREAMS,
        "            caller.has_http_streams = False\n",
        "            pass\n",
        STREAMED,
    ),
    Fault(
        "netrpc: an upload that was not taken up stays on offer",
        STREAMS,
        "        link.withdraw(number)\n        task",
        "        task",
        STREAMED,
    ),
    Fault(
        "netrpc: no answer of PluginHTTP is an answer",
        STREAMS,
        "                raise RPCError(StatusCode.INTERNAL, text)\n",
        "                return response()\n",
        STREAMED,
    ),
    Fault(
        "netrpc: an answer's stream without an answer is kept",
        STREAMS,
        "        answer.reset()\n",
        "        answer.discard()\n",
        STREAMED,
    ),
    Fault(
        "netrpc: a lost connection is not the end",
        WIRE,
        'is over: %s", why)\n            on_shutdown()\n',
        'is over: %s", why)\n',
        WIRED,
        "lost",
    ),
    Fault(
        "netrpc: a type that hosts have not registered goes back",
        TRANSLATE,
        "        if value.name in registered_types():\n",
        "        if True:\n",
        TRANSLATED,
        "newer_server or gone",
    ),
    Fault(
        "netrpc: a key that is gone is not named",
        TRANSLATE,
        "in sent if key not in now[field.name]]",
        "in () if key not in now[field.name]]",
        TRANSLATED,
        "newer_server or gone",
    ),
)
