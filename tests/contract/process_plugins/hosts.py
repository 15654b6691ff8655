"""Both hosts as a test's parameter: the light one always, the Go host in the full tier."""

from __future__ import annotations

import pytest

from tests.contract.process_plugins.light_host import LightHost
from tests.contract.process_plugins.real_host import RealHost

__all__ = ["BOTH", "Host", "LightHost", "RealHost", "both_hosts"]

Host = type[LightHost] | type[RealHost]

BOTH = [
    pytest.param(LightHost, id="light"),
    pytest.param(RealHost, id="go", marks=[pytest.mark.full, pytest.mark.timeout(60)]),
]

both_hosts = pytest.mark.parametrize("host", BOTH)
"""For a test that takes ``host: Host`` and sees the same on both."""
