"""Row H7: what hooks see of users. tests/unit/test_user_secrets.py has every place of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.roads import HTTPRoad, on

if TYPE_CHECKING:
    from tests.roads import Road

PLUGIN = "tests.contract.apps.secrets:plugin"
USER = {
    "username": "bob",
    "email": "bob@example.com",
    "password": "$pbkdf2$f=SHA256$salt$hash",
    "auth_data": "saml",
    "mfa_secret": "JBSWY3DP",
}
SEEN = "'bob', 'bob@example.com', '', '', ''"


@on("m", "g", "r", but="ns", plugin=PLUGIN)
async def test_H7_a_hook_sees_no_secret_of_a_user(road: Road) -> None:
    outcome = await road.hook("UserWillLogIn", {"user": USER})
    assert outcome.fields == {"rejection_reason": SEEN}


@on("n", but="r", plugin=PLUGIN)
async def test_H7_a_hook_sees_no_secret_of_a_released_servers_user(road: HTTPRoad) -> None:
    answer = await road.host.hook("UserWillLogIn", {}, USER)
    assert answer["response"] == [SEEN]
