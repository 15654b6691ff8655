"""Every planted fault, room by room. A new module ``*_faults.py`` adds its line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.mutants.api_faults import API_FAULTS
from tests.mutants.bridge_faults import BRIDGE_FAULTS
from tests.mutants.channel_faults import CHANNEL_FAULTS
from tests.mutants.cli_faults import CLI_FAULTS
from tests.mutants.contrib_faults import CONTRIB_FAULTS
from tests.mutants.hook_faults import HOOK_FAULTS
from tests.mutants.host_faults import HOST_FAULTS
from tests.mutants.life_faults import LIFE_FAULTS
from tests.mutants.netrpc_call_faults import NETRPC_CALL_FAULTS
from tests.mutants.netrpc_faults import NETRPC_FAULTS
from tests.mutants.netrpc_http_faults import NETRPC_HTTP_FAULTS
from tests.mutants.netrpc_still_faults import NETRPC_STILL_FAULTS
from tests.mutants.testing_faults import TESTING_FAULTS
from tests.mutants.tls_faults import TLS_FAULTS
from tests.mutants.wire_faults import WIRE_FAULTS
from tests.mutants.wsgi_faults import WSGI_FAULTS

if TYPE_CHECKING:
    from tests.mutants.fault import Fault

__all__ = ["EVERY_FAULT"]

EVERY_FAULT: tuple[Fault, ...] = (
    *BRIDGE_FAULTS,
    *LIFE_FAULTS,
    *HOOK_FAULTS,
    *API_FAULTS,
    *WIRE_FAULTS,
    *CHANNEL_FAULTS,
    *NETRPC_FAULTS,
    *NETRPC_CALL_FAULTS,
    *NETRPC_HTTP_FAULTS,
    *NETRPC_STILL_FAULTS,
    *TLS_FAULTS,
    *CONTRIB_FAULTS,
    *WSGI_FAULTS,
    *CLI_FAULTS,
    *HOST_FAULTS,
    *TESTING_FAULTS,
)
