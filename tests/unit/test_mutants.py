"""The list of planted faults does not rot: each one still finds its text."""

import pytest

from tests.mutants.__main__ import ROOT
from tests.mutants.channel_faults import CHANNEL_FAULTS
from tests.mutants.contrib_faults import CONTRIB_FAULTS
from tests.mutants.faults import FAULTS as OTHERS
from tests.mutants.faults import Fault
from tests.mutants.testing_faults import TESTING_FAULTS

FAULTS = (*OTHERS, *CHANNEL_FAULTS, *CONTRIB_FAULTS, *TESTING_FAULTS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_stands_in_its_file_once(fault: Fault) -> None:
    assert (ROOT / fault.file).read_text("utf-8").count(fault.old) == 1
    assert fault.new != fault.old
    assert all((ROOT / path).exists() for path in fault.paths)


def test_there_are_enough_of_them_and_each_has_its_name() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 30
