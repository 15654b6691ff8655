"""pytest's plugin: the fixture ``mm``, for pytest-asyncio and for anyio on asyncio.

It is loaded in every session of an environment that has mm-asgi: until a test asks for ``mm``
nothing else of the package is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mm_asgi.testing.kit import MM

ASYNCIO = "mm_asgi_asyncio"  # the plugin with pytest-asyncio's fixtures
LOOP_SCOPES: tuple[Any, ...] = ("function", "class", "module", "package", "session")

NO_APP = (
    'mm: which app? expected [tool.mm-asgi] with app = "shop.main:app" in {folder}/pyproject.toml,'
    " or a fixture mm_app of your own that returns the ASGI app or the Plugin"
)
NO_TRIO = (
    "mm: {test} runs on anyio's backend {backend}; expected asyncio, on which plugins run: a fixture"
    ' anyio_backend of your own that returns "asyncio"'
)
NO_RUNNER = (
    "mm: {test} is run by neither pytest-asyncio nor anyio; expected an async test of one of them:"
    ' asyncio_mode = "auto", @pytest.mark.asyncio or @pytest.mark.anyio'
)


@pytest.fixture
def mm_app(request: pytest.FixtureRequest) -> Any:
    """The app or Plugin that ``mm`` runs: pyproject's; override it to run another one."""
    settings = _settings(request)
    if not settings.app:
        pytest.fail(NO_APP.format(folder=request.config.rootpath), pytrace=False)
    from mm_asgi.errors import StartupError
    from mm_asgi.importer import import_target

    folder = settings.app_dir or str(request.config.rootpath)
    try:
        return import_target(settings.app, factory=settings.factory, app_dir=folder)
    except StartupError as exc:
        pytest.fail(f"mm: {exc}", pytrace=exc.__cause__ is not None)


@pytest.fixture
def mm(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, mm_app: Any) -> MM:
    """A Mattermost in memory with the plugin running in it, on the test's own event loop."""
    made: MM = request.getfixturevalue(_runner_of(request))
    # As in production: clients of the API that were made without an address look for it there.
    monkeypatch.setenv("MATTERMOST_PLUGIN_API_TARGET", made.api_target)
    return made


@pytest.fixture
async def _mm_anyio(
    request: pytest.FixtureRequest, anyio_backend: Any, mm_app: Any
) -> AsyncIterator[MM]:
    async with _make(request, mm_app) as made:
        yield made


def pytest_configure(config: pytest.Config) -> None:
    """Offer the fixture to pytest-asyncio, which in strict mode takes only fixtures made by it."""
    if config.pluginmanager.has_plugin("asyncio"):
        import inspect
        import types

        import pytest_asyncio

        if "loop_scope" not in inspect.signature(pytest_asyncio.fixture).parameters:
            return  # before 0.24: no reason to break a session that may not ask for mm
        module = types.ModuleType(ASYNCIO)
        for scope in LOOP_SCOPES:
            fixture = pytest_asyncio.fixture(loop_scope=scope, name=f"_mm_{scope}")
            setattr(module, scope, fixture(_fixture_function()))
        config.pluginmanager.register(module, ASYNCIO)


def _fixture_function() -> Any:
    # One for each scope: pytest-asyncio keeps the scope on the function itself.
    async def mm_asyncio(request: pytest.FixtureRequest, mm_app: Any) -> AsyncIterator[MM]:
        async with _make(request, mm_app) as made:
            yield made

    return mm_asyncio


def _runner_of(request: pytest.FixtureRequest) -> str:
    """Return the name of the fixture that fits the test's runner and its loop."""
    import inspect

    if "anyio_backend" in request.fixturenames:
        backend = request.getfixturevalue("anyio_backend")
        if (backend if isinstance(backend, str) else backend[0]) != "asyncio":
            pytest.fail(NO_TRIO.format(test=request.node.name, backend=backend), pytrace=False)
        return "_mm_anyio"
    config = request.config
    if config.pluginmanager.has_plugin(ASYNCIO) and inspect.iscoroutinefunction(request.function):
        marker = request.node.get_closest_marker("asyncio")
        if marker is not None and marker.kwargs.get("loop_scope"):
            return f"_mm_{marker.kwargs['loop_scope']}"
        mode = config.getoption("asyncio_mode") or config.getini("asyncio_mode")
        if marker is not None or mode == "auto":
            try:
                return f"_mm_{config.getini('asyncio_default_test_loop_scope')}"
            except (KeyError, ValueError):  # before 1.0 there is no such option
                return "_mm_function"
    pytest.fail(NO_RUNNER.format(test=request.node.name), pytrace=False)


def _settings(request: pytest.FixtureRequest) -> Any:
    import os

    from mm_asgi.settings import load_settings
    from mm_asgi.testing.engine import DRAIN

    return load_settings(
        environ=os.environ, directory=request.config.rootpath, defaults={"drain": DRAIN}
    )


def _make(request: pytest.FixtureRequest, app: Any) -> MM:
    import json

    from mm_asgi.testing.engine import PLUGIN_ID
    from mm_asgi.testing.kit import MM

    settings = _settings(request)
    manifest = request.config.rootpath / "plugin.json"
    plugin_id = settings.id
    if plugin_id is None and manifest.is_file():
        plugin_id = json.loads(manifest.read_text("utf-8")).get("id")
    return MM(app, plugin_id=plugin_id or PLUGIN_ID, settings=settings)
