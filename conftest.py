"""How many processes a run takes: said here, above tests/ and examples/, for a run of either."""

from __future__ import annotations

import os

import pytest

DEFAULT_TIER = "not full and not nightly"


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many processes share the tests: several for the default run of all of them alone.

    A few tests are done before a second process has started, and the tests of the other tiers
    measure times or hold a host each.
    """
    all_of_default = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if not all_of_default or config.option.markexpr != DEFAULT_TIER or config.option.keyword:
        return 0
    return min(os.cpu_count() or 1, 4)
