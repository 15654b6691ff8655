"""Planted faults of identity in frameworks, the site's facts and the CSRF coach."""

from __future__ import annotations

from tests.mutants.fault import Fault

__all__ = ["CONTRIB_FAULTS"]

HANDLER = "mm_asgi/bridge/handler.py"
SITE, SITE_TESTS = "mm_asgi/site.py", ("tests/unit/test_site.py",)
CSRF = ("tests/contract/test_S_who.py",)
STARLETTE, CONTRIB = "mm_asgi/contrib/starlette.py", ("tests/unit/contrib",)

CONTRIB_FAULTS: tuple[Fault, ...] = (
    Fault(
        "S10: each lost user is named",
        HANDLER,
        "            self._has_coached = True\n",
        "",
        CSRF,
    ),
    Fault(
        "S10: any cookie with the name in it counts",
        HANDLER,
        "any(pair.startswith(_COOKIES) for pair in pairs)",
        "any(name in value for name in _COOKIES)",
        CSRF,
    ),
    Fault(
        "S10: another plugin's request counts",
        HANDLER,
        'or scope["extensions"]["mattermost"]["source_plugin_id"]:',
        "or False:",
        CSRF,
    ),
    Fault(
        "S7: the API's site URL wins over the setting",
        HANDLER,
        "site_url=self._site_url or url",
        "site_url=url or self._site_url",
        SITE_TESTS,
    ),
    Fault(
        "S7: each failure is logged",
        SITE,
        "            self._has_logged = True\n",
        "",
        SITE_TESTS,
    ),
    Fault(
        "S7: without settings the URL is not asked for",
        SITE,
        "            except (APIError, ValueError) as exc:\n                self._log_once(exc)\n            try:",
        "            except (APIError, ValueError) as exc:\n                self._log_once(exc)\n                return\n            try:",
        SITE_TESTS,
    ),
    Fault(
        "S7: a change is read after its hook",
        "mm_asgi/life.py",
        "            return None\n        await self._read_site()\n        try:\n",
        "            return None\n        try:\n",
        SITE_TESTS,
    ),
    Fault(
        "contrib: an app finds no API of its plugin",
        "mm_asgi/life.py",
        "            self._tasks.use_context().run(RUNNING.set, self.loaded.connection)\n",
        "            self._tasks.use_context()\n",
        ("examples/fastapi",),
        "are_mattermosts",
    ),
    Fault(
        "contrib: one permission of several is enough",
        STARLETTE,
        "    for permission in permissions:\n",
        "    for permission in permissions[-1:]:\n",
        CONTRIB,
        "permissions",
    ),
    Fault(
        "contrib: who cannot be asked for is let in",
        STARLETTE,
        '            raise HTTPException(503, "Mattermost could not be asked for permissions.") from None\n',
        "            continue\n",
        CONTRIB,
        "nobody_can_tell",
    ),
    Fault(
        "contrib: a 401 blames the CSRF rule for a GET",
        STARLETTE,
        'request.scope.get("method", "GET") != "GET"',
        "True",
        CONTRIB,
        "says_what_to_do",
    ),
    Fault(
        "contrib: a permission's channel comes from the query",
        "mm_asgi/contrib/fastapi.py",
        "    value = request.path_params.get(name)\n",
        "    value = request.path_params.get(name) or request.query_params.get(name)\n",
        CONTRIB,
        "path_does_not_name",
    ),
    Fault(
        "contrib: Django asks a vouched user for a Referer",
        "mm_asgi/contrib/django.py",
        "        if has_origin or user_id(request) is None:\n",
        "        if True:\n",
        ("examples/django",),
        "over_https",
    ),
    Fault(
        "contrib: a Mattermost user takes the place of who logged in to Django",
        "mm_asgi/contrib/remote_user.py",
        "    if own is not None and own.is_authenticated and not _is_of_host(request):\n",
        "    if own is None:\n",
        ("examples/django",),
        "the_admin",
    ),
    Fault(
        "contrib: the docs page comes after the app's routes",
        "mm_asgi/contrib/swagger.py",
        "app.router.routes[:0] = [",
        "app.router.routes[len(app.router.routes):] = [",
        CONTRIB,
        "docs",
    ),
)
