"""The list of planted faults does not rot: each one still finds its text."""

import pytest

from tests.mutants.__main__ import ROOT
from tests.mutants.fault import Fault
from tests.mutants.registry import EVERY_FAULT


@pytest.mark.parametrize("fault", EVERY_FAULT, ids=lambda fault: fault.name)
def test_a_fault_stands_in_its_file_once(fault: Fault) -> None:
    assert (ROOT / fault.file).read_text("utf-8").count(fault.old) == 1
    assert fault.new != fault.old
    assert all((ROOT / path).exists() for path in fault.paths)


def test_there_are_enough_of_them_and_each_has_its_name() -> None:
    assert len({fault.name for fault in EVERY_FAULT}) == len(EVERY_FAULT) >= 30
