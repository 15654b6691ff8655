"""The planted faults of WSGI apps."""

from __future__ import annotations

from tests.mutants.fault import Fault

__all__ = ["WSGI_FAULTS"]

WSGI = "mm_asgi/contrib/wsgi.py"
WSGI_TESTS = ("tests/unit/contrib/test_wsgi.py",)

WSGI_FAULTS: tuple[Fault, ...] = (
    Fault(
        "WSGI: a body that was cut looks whole",
        WSGI,
        "            raise ClientDisconnected(_GONE)\n        return message\n",
        "            return {}\n        return message\n",
        WSGI_TESTS,
        "cut_body",
    ),
    Fault(
        "WSGI: the body is taken before the app reads it",
        WSGI,
        "                    await self._body.join()\n",
        "                    pass\n",
        WSGI_TESTS,
        "taken_as",
    ),
    Fault(
        "WSGI: SCRIPT_NAME is the process's own",
        WSGI,
        '            "SCRIPT_NAME": script_name,\n',
        "",
        WSGI_TESTS,
        "script_name",
    ),
    Fault(
        "WSGI: the user stays out of the environ",
        WSGI,
        '            environ["REMOTE_USER"] = user_id\n',
        "            pass\n",
        WSGI_TESTS,
        "who_asks",
    ),
    Fault(
        "WSGI: SystemExit goes through the thread's future",
        WSGI,
        "        except BaseException as exc:  # noqa: BLE001\n            exchange.fail(exc)\n",
        "        except Exception as exc:  # noqa: BLE001\n            exchange.fail(exc)\n",
        WSGI_TESTS,
        "raised_in_the_requests_task",
    ),
    Fault(
        "WSGI: a function that makes the app is taken for one",
        "mm_asgi/importer.py",
        " and not _takes(signature, 1)",
        "",
        ("tests/unit/test_importer.py",),
        "called_with_less",
    ),
    Fault(
        "wsgi: Python waits at its end for a view that hangs",
        "mm_asgi/contrib/threads.py",
        "daemon=True",
        "daemon=False",
        WSGI_TESTS,
        "python_ends",
    ),
)
