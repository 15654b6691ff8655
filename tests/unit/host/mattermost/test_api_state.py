"""What calls leave behind comes back by other calls: users, teams, channels, posts, files, ..."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import json_format

from mm_asgi.host.ids import is_id, stable_id
from mm_asgi.host.mattermost import AppError, Mattermost
from mm_asgi.host.mattermost.calls.config import HIDDEN
from mm_asgi.protocol.channel_pb2 import CHANNEL_TYPE_OPEN, CHANNEL_TYPE_PRIVATE
from tests.unit.host.mattermost.api_client import Client, connected

TOWN = stable_id("channel demo town-square")
TEAM = stable_id("team demo")


def names(users: Any) -> list[str]:
    return [user.username for user in users]


async def make_user(client: Client, name: str) -> Any:
    user = {"username": name, "email": f"{name}@example.com", "password": "password1"}
    return (await client.CreateUser(user=user)).user


async def make_channel(client: Client, name: str, kind: int = CHANNEL_TYPE_OPEN) -> Any:
    channel = {"team_id": TEAM, "name": name, "display_name": name.title(), "type": kind}
    return (await client.CreateChannel(channel=channel)).channel


async def make_post(client: Client, message: str, **more: Any) -> Any:
    post = {"channel_id": TOWN, "user_id": "alice", "message": message, **more}
    answer = await client.CreatePost(post=post)
    assert not answer.HasField("error"), answer.error
    return answer.post


# -------------------------------------------------------------------- users


async def test_users() -> None:
    async with connected() as (mattermost, client):
        carol = await make_user(client, "Carol")
        assert is_id(carol.id)
        assert (carol.username, carol.roles, carol.password) == ("carol", "system_user", "")
        assert mattermost.users["carol"] == mattermost.users[carol.id] == carol
        with pytest.raises(KeyError):
            mattermost.users["nobody"]

        assert (await client.GetUser(user_id=carol.id)).user == carol
        assert (await client.GetUserByUsername(name="CAROL")).user == carol
        assert (await client.GetUserByEmail(email="Carol@example.com")).user == carol
        found = await client.GetUsersByIds(user_ids=[carol.id, "bob", "nobody"])
        assert names(found.users) == ["bob", "carol"]
        assert names((await client.GetUsersByUsernames(usernames=["carol", "x"])).users) == [
            "carol"
        ]
        assert names((await client.GetUsersInTeam(team_id=TEAM, per_page=2)).users) == [
            "alice",
            "bob",
        ]

        carol.nickname, carol.roles = "Caz", "system_admin"
        updated = (await client.UpdateUser(user=carol)).user
        assert (updated.nickname, updated.roles) == ("Caz", "system_user")
        roles = "system_user system_admin"
        assert (await client.UpdateUserRoles(user_id=carol.id, new_roles=roles)).user.roles == roles
        await client.UpdateUserActive(user_id=carol.id, active=False)
        everyone = await client.GetUsers(per_page=10, in_team_id="a team that is not looked at")
        assert names(everyone.users) == ["alice", "bob", "carol", "sysadmin"]
        assert names((await client.GetUsers(per_page=10, active=True)).users) == [
            "alice", "bob", "sysadmin",
        ]  # fmt: skip
        assert names((await client.GetUsers(per_page=10, inactive=True)).users) == ["carol"]
        admins = await client.GetUsers(per_page=10, role="system_admin", active=True)
        assert names(admins.users) == ["sysadmin"]
        await client.UpdateUserActive(user_id=carol.id, active=True)
        await client.DeleteUser(user_id=carol.id)
        assert mattermost.users[carol.id].delete_at > 0


async def test_users_searched_and_in_channels() -> None:
    async with connected() as (_, client):
        await make_user(client, "alina")
        assert names((await client.SearchUsers(term="@AL")).users) == ["alice", "alina"]
        assert names((await client.SearchUsers(term="al", limit=1)).users) == ["alice"]
        assert names((await client.SearchUsers(term="al", team_id=TEAM)).users) == ["alice"]
        outside = await client.SearchUsers(term="al", not_in_channel_id=TOWN)
        assert names(outside.users) == ["alina"]
        assert names((await client.SearchUsers(term="al", in_channel_id=TOWN)).users) == ["alice"]
        await client.UpdateUserActive(user_id="alice", active=False)
        assert names((await client.SearchUsers(term="al")).users) == ["alina"]
        assert len((await client.SearchUsers(term="al", allow_inactive=True)).users) == 2

        await client.UpdateUserStatus(user_id="sysadmin", status="online")
        await client.UpdateUserStatus(user_id="bob", status="away")
        by_name = await client.GetUsersInChannel(channel_id=TOWN, sort_by="username", per_page=9)
        assert names(by_name.users) == ["alice", "bob", "sysadmin"]
        by_status = await client.GetUsersInChannel(channel_id=TOWN, sort_by="status", per_page=9)
        assert names(by_status.users) == ["sysadmin", "bob", "alice"]


async def test_statuses() -> None:
    async with connected() as (mattermost, client):
        assert (await client.GetUserStatus(user_id="bob")).status.status == "offline"
        answer = await client.UpdateUserStatus(user_id="bob", status="online")
        assert (answer.status.status, answer.status.manual) == ("online", True)
        timed = (await client.SetUserStatusTimedDND(user_id="bob", end_time=99)).status
        assert (timed.status, timed.dnd_end_time) == ("dnd", 99)
        both = (await client.GetUserStatusesByIds(user_ids=["bob", "new"])).statuses
        assert [row.status for row in both] == ["dnd", "offline"]
        shown = {"emoji": "tea", "text": "a break"}
        await client.UpdateUserCustomStatus(user_id="bob", custom_status=shown)
        assert json.loads(mattermost.users["bob"].props["customStatus"]) == shown
        await client.RemoveUserCustomStatus(user_id="bob")
        assert mattermost.users["bob"].props["customStatus"] == "{}"
        await client.PublishUserTyping(user_id="bob", channel_id=TOWN, parent_id="p")
        event = mattermost.events[-1]
        assert (event.name, event.channel_id, event.omit_users) == (
            "typing",
            TOWN,
            frozenset(("bob",)),
        )


async def test_preferences() -> None:
    async with connected() as (_, client):
        tea = {"user_id": "bob", "category": "drinks", "name": "first", "value": "tea"}
        await client.UpdatePreferencesForUser(user_id="bob", preferences=[tea])
        where = {"user_id": "bob", "category": "drinks", "name": "first"}
        assert (await client.GetPreferenceForUser(**where)).preference.value == "tea"
        assert len((await client.GetPreferencesForUser(user_id="bob")).preferences) == 1
        assert len((await client.GetPreferencesForUser(user_id="alice")).preferences) == 0
        await client.DeletePreferencesForUser(user_id="bob", preferences=[tea])
        assert len((await client.GetPreferencesForUser(user_id="bob")).preferences) == 0


async def test_permissions() -> None:
    async with connected() as (_, client):

        async def may(user: str, permission: str, **where: str) -> bool:
            asked = {"user_id": user, "permission_id": permission}
            if "channel_id" in where:
                answer = await client.HasPermissionToChannel(**asked, **where)
            elif "team_id" in where:
                answer = await client.HasPermissionToTeam(**asked, **where)
            else:
                answer = await client.HasPermissionTo(**asked)
            return bool(answer.has_permission)

        assert await may("sysadmin", "manage_system")
        assert not await may("alice", "manage_system")
        assert not await may("nobody", "create_team")
        assert await may("alice", "create_team")
        assert await may("alice", "create_team", team_id=TEAM)
        assert await may("alice", "create_public_channel", team_id=TEAM)
        assert not await may("alice", "manage_team", team_id=TEAM)
        assert not await may("alice", "create_post", team_id=TEAM)
        assert await may("alice", "create_post", channel_id=TOWN)
        assert not await may("nobody", "create_post", channel_id=TOWN)
        assert await may("sysadmin", "create_post", channel_id="none")
        assert not await may("", "create_post", channel_id=TOWN)
        assert not await may("alice", "create_team", team_id="")

        new_roles = "team_user team_admin"
        await client.UpdateTeamMemberRoles(team_id=TEAM, user_id="alice", new_roles=new_roles)
        assert await may("alice", "manage_team", team_id=TEAM)
        await client.UpdateUserActive(user_id="alice", active=False)
        assert not await may("alice", "create_team")
        roles = {"role_names": ["channel_user", "x"]}
        granted = await client.RolesGrantPermission(**roles, permission_id="create_post")
        assert granted.has_permission
        refused = await client.RolesGrantPermission(**roles, permission_id="manage_system")
        assert not refused.has_permission


# -------------------------------------------------------------------- teams and channels


async def test_teams() -> None:
    async with connected() as (mattermost, client):
        given = {"name": "second", "display_name": "Second", "type": 1}
        team = (await client.CreateTeam(team=given)).team
        assert is_id(team.id)
        assert (await client.GetTeam(team_id=team.id)).team == team
        assert (await client.GetTeamByName(name="second")).team == team
        assert [row.name for row in (await client.GetTeams()).teams] == ["demo", "second"]
        assert [row.name for row in (await client.SearchTeams(term="SEC")).teams] == ["second"]
        inside = await client.GetPublicChannelsForTeam(team_id=team.id, per_page=10)
        assert [channel.name for channel in inside.channels] == ["off-topic", "town-square"]

        team.display_name = "Zweites"
        assert (await client.UpdateTeam(team=team)).team.display_name == "Zweites"
        assert await client.failure("UpdateTeam", team={"id": team.id}) is not None
        member = (await client.CreateTeamMember(team_id=team.id, user_id="bob")).team_member
        assert (member.user_id, member.roles) == ("bob", "team_user")
        asked = {"team_id": team.id, "user_id": "bob"}
        assert (await client.GetTeamMember(**asked)).team_member == member
        mine = await client.GetTeamsForUser(user_id="bob")
        assert [row.name for row in mine.teams] == ["demo", "second"]
        again = (await client.CreateTeamMember(team_id=team.id, user_id="bob")).team_member
        assert again == member
        stats = (await client.GetTeamStats(team_id=team.id)).team_stats
        assert (stats.total_member_count, stats.active_member_count) == (1, 1)

        many = await client.CreateTeamMembers(team_id=team.id, user_ids=["alice", "sysadmin"])
        assert len(many.team_members) == 2
        gently = await client.CreateTeamMembersGracefully(team_id=team.id, user_ids=["alice", "x"])
        assert gently.team_members[0].member.user_id == "alice"
        assert gently.team_members[1].error.id == "app.user.missing_account.const"
        page = await client.GetTeamMembers(team_id=team.id, page=1, per_page=2)
        assert [row.user_id for row in page.team_members] == ["sysadmin"]
        of_bob = await client.GetTeamMembersForUser(user_id="bob", per_page=9)
        assert {row.team_id for row in of_bob.team_members} == {TEAM, team.id}

        await client.DeleteTeamMember(**asked)
        assert await client.failure("DeleteTeamMember", **asked) is not None
        town = next(c for c in inside.channels if c.name == "town-square")
        assert (town.id, "bob") not in mattermost.channel_members
        assert len((await client.GetTeamMembers(team_id=team.id, per_page=9)).team_members) == 2
        await client.DeleteTeam(team_id=team.id)
        assert [row.name for row in (await client.GetTeamsForUser(user_id="alice")).teams] == [
            "demo"
        ]


async def test_channels() -> None:
    async with connected() as (_, client):
        channel = await make_channel(client, "fruit")
        secret = await make_channel(client, "secret", CHANNEL_TYPE_PRIVATE)
        assert (await client.GetChannel(channel_id=channel.id)).channel == channel
        asked = {"team_id": TEAM, "name": "fruit"}
        assert (await client.GetChannelByName(**asked)).channel == channel
        by_names = {"team_name": "demo", "channel_name": "fruit"}
        assert (await client.GetChannelByNameForTeamName(**by_names)).channel == channel
        public = await client.GetPublicChannelsForTeam(team_id=TEAM, per_page=9)
        assert secret.id not in [row.id for row in public.channels]
        found = await client.SearchChannels(team_id=TEAM, term="FRU")
        assert [row.name for row in found.channels] == ["fruit"]
        mine = await client.GetChannelsForTeamForUser(team_id=TEAM, user_id="bob")
        assert [row.name for row in mine.channels] == ["off-topic", "town-square"]
        stats = (await client.GetChannelStats(channel_id=TOWN)).channel_stats
        assert stats.member_count == 3

        channel.header = "Apples"
        assert (await client.UpdateChannel(channel=channel)).channel.header == "Apples"
        await client.DeleteChannel(channel_id=channel.id)
        failure = await client.failure("DeleteChannel", channel_id=channel.id)
        assert failure is not None
        assert failure.id == "api.channel.delete_channel.deleted.app_error"
        assert await client.failure("GetChannelByName", **asked) is not None
        assert (await client.GetChannelByName(**asked, include_deleted=True)).channel.delete_at


async def test_direct_and_group_channels() -> None:
    async with connected() as (mattermost, client):
        direct = (await client.GetDirectChannel(user_id_1="bob", user_id_2="alice")).channel
        assert direct.name == "alice__bob"
        again = await client.GetDirectChannel(user_id_1="alice", user_id_2="bob")
        assert again.channel == direct
        alone = (await client.GetDirectChannel(user_id_1="bob", user_id_2="bob")).channel
        assert (await client.GetChannelStats(channel_id=alone.id)).channel_stats.member_count == 1
        ids = ["sysadmin", "bob", "alice"]
        group = (await client.GetGroupChannel(user_ids=ids)).channel
        assert group.display_name == "alice, bob, sysadmin"
        assert len(group.name) == 40
        assert (await client.GetGroupChannel(user_ids=ids[::-1])).channel == group
        mine = await client.GetChannelsForTeamForUser(user_id="bob")
        assert {direct.id, alone.id, group.id} < {row.id for row in mine.channels}
        for name in ("AddChannelMember", "DeleteChannelMember"):
            failure = await client.failure(name, channel_id=direct.id, user_id="sysadmin")
            assert failure is not None, name
        group.header = "three"
        assert (await client.UpdateChannel(channel=group)).channel.header == "three"
        assert mattermost.channels[group.name].header == "three"


async def test_channel_members() -> None:
    async with connected() as (mattermost, client):
        channel = await make_channel(client, "fruit", CHANNEL_TYPE_PRIVATE)
        asked = {"channel_id": channel.id, "user_id": "bob"}
        member = (await client.AddChannelMember(**asked)).channel_member
        assert (member.user_id, member.roles) == ("bob", "channel_user")
        assert (await client.AddChannelMember(**asked)).channel_member == member
        invited = {"channel_id": channel.id, "user_id": "alice", "as_user_id": "bob"}
        assert (await client.AddUserToChannel(**invited)).channel_member.user_id == "alice"
        said = [(post.user_id, post.type, post.message) for post in mattermost.posts.values()]
        assert said == [
            ("bob", "system_join_channel", "bob joined the channel."),
            ("bob", "system_add_to_channel", "alice added to the channel by bob."),
        ]
        assert (await client.GetChannelMember(**asked)).channel_member == member
        everyone = await client.GetChannelMembers(channel_id=channel.id, per_page=9)
        assert [row.user_id for row in everyone.channel_members] == ["bob", "alice"]
        some = await client.GetChannelMembersByIds(channel_id=channel.id, user_ids=["alice", "x"])
        assert [row.user_id for row in some.channel_members] == ["alice"]
        of_bob = await client.GetChannelMembersForUser(team_id="any", user_id="bob", per_page=9)
        assert len(of_bob.channel_members) == 3

        roles = "channel_user channel_admin"
        promoted = (await client.UpdateChannelMemberRoles(**asked, new_roles=roles)).channel_member
        assert (promoted.roles, promoted.scheme_admin) == (roles, True)
        quiet = {"desktop": "none"}
        changed = await client.UpdateChannelMemberNotifications(**asked, notifications=quiet)
        assert changed.channel_member.notify_props["desktop"] == "none"
        assert changed.channel_member.notify_props["email"] == "default"
        await client.PatchChannelMembersNotifications(
            members=[asked, {"channel_id": "x"}], notify_props={"email": "all"}
        )
        assert mattermost.channel_members[channel.id, "bob"].notify_props["email"] == "all"

        await client.DeleteChannelMember(**asked)
        assert await client.failure("GetChannelMember", **asked) is not None
        failure = await client.failure(
            "DeleteChannelMember", channel_id=channel.id, user_id="alice"
        )
        assert failure is not None
        assert failure.id == "api.channel.leave.last_member.app_error"
        stranger = await make_user(client, "dora")
        failure = await client.failure("AddChannelMember", channel_id=TOWN, user_id=stranger.id)
        assert failure is not None
        assert failure.id == "app.team.get_member.missing.app_error"
        await client.CreateTeamMember(team_id=TEAM, user_id=stranger.id)
        assert (TOWN, stranger.id) in mattermost.channel_members
        await client.DeleteTeamMember(team_id=TEAM, user_id=stranger.id)
        failure = await client.failure("AddChannelMember", channel_id=TOWN, user_id=stranger.id)
        assert failure is not None
        assert failure.id == "api.channel.add_user.to.channel.failed.deleted.app_error"


# -------------------------------------------------------------------- posts


async def test_a_posts_life() -> None:
    async with connected() as (mattermost, client):
        post = await make_post(client, "an #apple a day", props={"n": 1})
        assert is_id(post.id)
        assert (post.hashtags, post.props["from_plugin"], post.props["n"]) == ("#apple", "true", 1)
        assert (await client.GetPost(post_id=post.id)).post == post
        assert mattermost.channels[TOWN].total_msg_count == 1
        event = mattermost.events[-1]
        assert (event.name, event.channel_id) == ("posted", TOWN)
        assert json.loads(event.data["post"])["message"] == "an #apple a day"

        post.message, post.is_pinned = "two apples", True
        edited = (await client.UpdatePost(post=post)).post
        assert (edited.message, edited.is_pinned, edited.hashtags) == ("two apples", True, "")
        assert edited.edit_at >= edited.create_at
        reply = await make_post(client, "yes", root_id=post.id)
        assert mattermost.posts[post.id].reply_count == 1
        await client.DeletePost(post_id=reply.id)
        assert mattermost.posts[post.id].reply_count == 0
        await make_post(client, "again", root_id=post.id)
        await client.DeletePost(post_id=post.id)
        assert all(row.delete_at for row in mattermost.posts.values())
        failure = await client.failure("UpdatePost", post=post)
        assert failure is not None
        assert failure.id == "api.post.update_post.permissions_details.app_error"


async def test_threads_stay_in_their_channel_and_flat() -> None:
    async with connected() as (_, client):
        root = await make_post(client, "root")
        reply = await make_post(client, "reply", root_id=root.id)
        other = await make_channel(client, "fruit")
        base = {"user_id": "bob", "message": "x"}
        failure = await client.failure(
            "CreatePost", post=base | {"channel_id": other.id, "root_id": root.id}
        )
        assert failure is not None
        assert (failure.code, failure.id) == (
            "500", "api.post.create_post.channel_root_id.app_error",
        )  # fmt: skip
        failure = await client.failure(
            "CreatePost", post=base | {"channel_id": TOWN, "root_id": reply.id}
        )
        assert failure is not None
        assert failure.id == "api.post.create_post.root_id.app_error"
        thread = (await client.GetPostThread(post_id=root.id)).post_list
        assert list(thread.order) == [root.id, reply.id]
        from_reply = (await client.GetPostThread(post_id=reply.id)).post_list
        assert list(from_reply.order) == [reply.id, root.id]
        assert set(from_reply.posts) == {root.id, reply.id}


async def test_archived_channels_take_no_posts_changes_or_reactions() -> None:
    async with connected() as (_, client):
        channel = await make_channel(client, "fruit")
        post = await make_post(client, "x", channel_id=channel.id)
        await client.DeleteChannel(channel_id=channel.id)
        reaction = {"post_id": post.id, "user_id": "bob", "emoji_name": "tea"}
        for name, fields, error_id in (
            ("UpdatePost", {"post": post}, "update_post.can_not_update_post_in_deleted.error"),
            (
                "DeletePost",
                {"post_id": post.id},
                "delete_post.can_not_delete_post_in_deleted.error",
            ),
            ("AddReaction", {"reaction": reaction}, "save.archived_channel.app_error"),
            ("RemoveReaction", {"reaction": reaction}, "delete.archived_channel.app_error"),
        ):
            failure = await client.failure(name, **fields)
            assert failure is not None
            assert failure.id.endswith(error_id)


async def test_pages_of_posts() -> None:
    async with connected() as (mattermost, client):
        mattermost.clock.stop()
        ids = []
        for number in range(5):
            ids.append((await make_post(client, f"number {number}")).id)
            mattermost.clock.advance(1)
        newest = ids[::-1]

        async def order(name: str, **fields: Any) -> list[str]:
            answer = await getattr(client, name)(channel_id=TOWN, **fields)
            return list(answer.post_list.order)

        whole = await client.GetPostsForChannel(channel_id=TOWN, per_page=2)
        assert list(whole.post_list.order) == newest[:2]
        assert await order("GetPostsForChannel", page=2, per_page=2) == newest[4:]
        before = await client.GetPostsBefore(channel_id=TOWN, post_id=ids[2], per_page=1)
        assert list(before.post_list.order) == [ids[1]]
        assert await order("GetPostsBefore", post_id=ids[2], page=1, per_page=1) == [ids[0]]
        assert await order("GetPostsBefore", post_id="x", per_page=1) == []
        after = await client.GetPostsAfter(channel_id=TOWN, post_id=ids[2], per_page=1)
        assert list(after.post_list.order) == [ids[3]]
        assert await order("GetPostsAfter", post_id=ids[2], per_page=9) == [ids[4], ids[3]]
        assert await order("GetPostsAfter", post_id="x", per_page=9) == []

        since = mattermost.clock.now() - 1
        await client.DeletePost(post_id=ids[0])
        changed = await client.GetPostsSince(channel_id=TOWN, time=since)
        assert list(changed.post_list.order) == [ids[0]]
        assert await order("GetPostsForChannel", per_page=9) == newest[:4]


async def test_posts_found_by_their_words() -> None:
    async with connected() as (_, client):
        fruit = await make_channel(client, "fruit")
        one = await make_post(client, "Apples and pears")
        two = await make_post(client, "only pears", user_id="bob", channel_id=fruit.id)

        async def search(**params: Any) -> list[str]:
            found = await client.SearchPostsInTeam(team_id=TEAM, params_list=[params])
            return [post.id for post in found.posts]

        assert await search(terms="pears") == [two.id, one.id]
        assert await search(terms="apples pears") == [one.id]
        assert await search(terms="apples pears", is_or_search=True) == [two.id, one.id]
        assert await search(terms="") == []
        assert await search(terms="pears", in_channels=["fruit"]) == [two.id]
        assert await search(terms="pears", excluded_channels=["fruit"]) == [one.id]
        assert await search(terms="pears", from_users=["bob"]) == [two.id]
        assert await search(terms="pears", excluded_users=["bob"]) == [one.id]
        asked = {"team_id": TEAM, "user_id": "bob", "search_params": {"terms": "pears"}}
        results = (await client.SearchPostsInTeamForUser(**asked)).results
        assert list(results.order) == list(results.posts) == [one.id]


async def test_reactions() -> None:
    async with connected() as (mattermost, client):
        post = await make_post(client, "tea?")
        tea = {"post_id": post.id, "user_id": "bob", "emoji_name": "tea"}
        added = (await client.AddReaction(reaction=tea)).reaction
        assert (added.emoji_name, added.channel_id) == ("tea", TOWN)
        await client.AddReaction(reaction=tea)
        assert len((await client.GetReactions(post_id=post.id)).reactions) == 1
        assert mattermost.posts[post.id].has_reactions
        for wrong in (tea | {"emoji_name": "no spaces"}, tea | {"user_id": "nobody"}):
            assert await client.failure("AddReaction", reaction=wrong) is not None
        await client.RemoveReaction(reaction=tea)
        assert len((await client.GetReactions(post_id=post.id)).reactions) == 0
        assert not mattermost.posts[post.id].has_reactions


async def test_ephemeral_posts() -> None:
    async with connected() as (mattermost, client):
        given = {"channel_id": TOWN, "message": "psst"}
        shown = (await client.SendEphemeralPost(user_id="bob", post=given)).post
        assert (shown.type, shown.message) == ("system_ephemeral", "psst")
        assert mattermost.ephemeral_posts["bob", shown.id] == shown
        assert (mattermost.events[-1].name, mattermost.events[-1].user_id) == (
            "ephemeral_message", "bob",
        )  # fmt: skip
        shown.message = "forget it"
        await client.UpdateEphemeralPost(user_id="bob", post=shown)
        assert mattermost.ephemeral_posts["bob", shown.id].message == "forget it"
        await client.DeleteEphemeralPost(user_id="bob", post_id=shown.id)
        assert not mattermost.ephemeral_posts
        assert not mattermost.posts


# -------------------------------------------------------------------- files, bots, commands


async def test_files() -> None:
    async with connected() as (mattermost, client):
        made = await client.UploadFile(data=b"hello", channel_id=TOWN, filename="dir/a.TXT")
        info = made.file_info
        assert (info.name, info.extension, info.mime_type) == ("a.TXT", "txt", "text/plain")
        assert (info.size, info.creator_id) == (5, "nouser")
        assert (await client.GetFileInfo(file_id=info.id)).file_info == info
        assert (await client.GetFile(file_id=info.id)).data == b"hello"
        path = mattermost.files[info.id].path
        assert (await client.ReadFile(path=path)).data == b"hello"
        await client.SetFileSearchableContent(file_id=info.id, content="words")
        assert mattermost.files[info.id].searchable == "words"

        copied = (await client.CopyFileInfos(user_id="bob", file_ids=[info.id])).file_ids
        post = await make_post(client, "see", file_ids=[info.id, "not there"])
        assert list(post.file_ids) == [info.id]
        assert mattermost.files[info.id].info.post_id == post.id
        await client.UploadFile(data=b"longer than that", channel_id=TOWN, filename="b")
        options = {"channel_id": TOWN, "sort_by": "Size", "sort_order": "desc"}
        listed = await client.GetFileInfos(per_page=9, options=options)
        assert [row.size for row in listed.file_infos] == [16, 5, 5]
        of_bob = await client.GetFileInfos(per_page=9, options={"user_id": "bob"})
        assert [row.id for row in of_bob.file_infos] == list(copied)

        mattermost.config["FileSettings"]["EnablePublicLink"] = True
        link = (await client.GetFileLink(file_id=info.id)).link
        assert f"/files/{info.id}/public?h=" in link
        assert await client.failure("GetFileLink", file_id=copied[0]) is not None


async def test_a_file_in_parts_is_one_part_or_too_small() -> None:
    async with connected() as (_, client):
        given = {"channel_id": TOWN, "file_size": 6, "filename": "a", "user_id": "bob"}
        session = (await client.CreateUploadSession(upload_session=given)).upload_session
        asked = await client.GetUploadSession(upload_id=session.id)
        assert asked.upload_session == session
        failure = await client.failure("UploadData", upload_session=session, data=b"abc")
        assert failure is not None
        assert failure.id == "app.upload.upload_data.first_part_too_small.app_error"
        session.file_offset = 3
        failure = await client.failure("UploadData", upload_session=session, data=b"def")
        assert failure is not None
        assert failure.id == "app.upload.upload_data.concurrent.app_error"
        session.file_offset = 0
        whole = await client.UploadData(upload_session=session, data=b"abcdef and more")
        assert (whole.file_info.size, whole.file_info.creator_id) == (6, "bob")
        assert (await client.GetFile(file_id=whole.file_info.id)).data == b"abcdef"
        archived = await make_channel(client, "old")
        await client.DeleteChannel(channel_id=archived.id)
        failure = await client.failure(
            "CreateUploadSession", upload_session=given | {"channel_id": archived.id}
        )
        assert failure is not None
        assert "deleted_channel" in failure.id


async def test_bots() -> None:
    async with connected() as (mattermost, client):
        bot = (await client.CreateBot(bot={"username": "robo", "display_name": "Robo"})).bot
        assert bot.owner_id == "com.example.demo"
        assert mattermost.users[bot.user_id].is_bot
        assert (await client.GetBot(bot_user_id=bot.user_id)).bot == bot
        failure = await client.failure("CreateBot", bot={"username": "b2", "owner_id": bot.user_id})
        assert failure is not None
        assert failure.id == "plugin_api.bot_cant_create_bot"
        patch = {"display_name": "R2", "description": ""}
        patched = (await client.PatchBot(bot_user_id=bot.user_id, bot_patch=patch)).bot
        assert (patched.username, patched.display_name) == ("robo", "R2")
        assert mattermost.users[bot.user_id].first_name == "R2"
        inactive = await client.UpdateBotActive(bot_user_id=bot.user_id, active=False)
        assert inactive.bot.delete_at
        assert await client.failure("GetBot", bot_user_id=bot.user_id) is not None
        assert (await client.GetBot(bot_user_id=bot.user_id, include_deleted=True)).bot.user_id
        active = await client.UpdateBotActive(bot_user_id=bot.user_id, active=True)
        assert not active.bot.delete_at
        page = {"page": 0, "per_page": 9}
        assert len((await client.GetBots(options=page)).bots) == 1
        assert len((await client.GetBots(options=page | {"owner_id": "x"})).bots) == 0
        owned = {"username": "b3", "owner_id": "alice"}
        await client.CreateBot(bot=owned)
        await client.UpdateUserActive(user_id="alice", active=False)
        orphans = await client.GetBots(options=page | {"only_orphaned": True})
        assert [row.username for row in orphans.bots] == ["b3"]
        await make_post(client, "beep", user_id=bot.user_id)
        last = next(reversed(mattermost.posts.values()))
        assert last.props["from_bot"] == "true"
        await client.CreateTeamMember(team_id=TEAM, user_id=bot.user_id)
        await client.PermanentDeleteBot(bot_user_id=bot.user_id)
        assert bot.user_id not in mattermost.users
        assert (TOWN, bot.user_id) not in mattermost.channel_members


async def test_a_bot_is_ensured_once() -> None:
    async with connected() as (mattermost, client):
        first = (await client.EnsureBotUser(bot={"username": "robo"})).bot_user_id
        again = await client.EnsureBotUser(bot={"username": "robo2", "display_name": "R"})
        assert again.bot_user_id == first
        assert mattermost.users[first].username == "robo2"
        taken = await client.failure("EnsureBotUser", bot={"username": "alice"})
        assert taken is not None
        # Without its key it is found by name, and so is a person's account.
        await client.KVDeleteAll()
        assert (await client.EnsureBotUser(bot={"username": "robo2"})).bot_user_id == first
        await client.KVDeleteAll()
        assert (await client.EnsureBotUser(bot={"username": "alice"})).bot_user_id == "alice"
        # A person's account is not remembered as the plugin's bot.
        assert (await client.KVList()).keys == []


async def test_commands_listed() -> None:
    async with connected() as (_, client):
        weather = {"trigger": "Weather", "auto_complete": True, "auto_complete_hint": "[city]"}
        await client.RegisterCommand(command=weather)
        await client.RegisterCommand(command=weather)
        team_only = {"trigger": "lunch", "team_id": TEAM}
        await client.RegisterCommand(command=team_only)
        made = (await client.CreateCommand(cmd={"trigger": "OLD", "team_id": TEAM})).command
        assert (made.trigger, made.plugin_id) == ("old", "com.example.demo")
        duplicate = await client.failure("CreateCommand", cmd={"trigger": "old", "team_id": TEAM})
        assert duplicate is not None
        listed = await client.ListCommands(team_id=TEAM)
        assert [row.trigger for row in listed.commands] == ["weather", "lunch", "old"]
        own = await client.ListPluginCommands(team_id="other")
        assert [row.trigger for row in own.commands] == ["weather"]
        custom = await client.ListCustomCommands(team_id=TEAM)
        assert [row.trigger for row in custom.commands] == ["old"]
        assert len((await client.ListBuiltInCommands()).commands) == 0
        assert (await client.GetCommand(command_id=made.id)).command == made
        changed = {"trigger": "NEW", "id": "x", "token": "x"}
        updated = (await client.UpdateCommand(command_id=made.id, updated_cmd=changed)).command
        assert (updated.trigger, updated.id, updated.token) == ("new", made.id, made.token)
        assert updated.team_id == TEAM
        await client.DeleteCommand(command_id=made.id)
        assert await client.failure("GetCommand", command_id=made.id) is not None
        await client.UnregisterCommand(trigger="WEATHER")
        left = await client.ListPluginCommands(team_id=TEAM)
        assert [row.trigger for row in left.commands] == ["lunch"]


# -------------------------------------------------------------------- the server


async def test_configuration() -> None:
    schema = {"settings": [{"key": "Colour", "default": "red"}, {"key": "Size", "default": 3}]}
    async with connected(manifest={"settings_schema": schema}) as (mattermost, client):
        loaded = json.loads((await client.LoadPluginConfiguration()).config_json)
        assert loaded == {"colour": "red", "size": 3}
        settings = {"Colour": "blue", "Tags": ["a"]}
        struct = (await client.GetPluginConfig()).config
        struct.update(settings)
        await client.SavePluginConfig(config=struct)
        assert json_format.MessageToDict((await client.GetPluginConfig()).config) == settings
        loaded = json.loads((await client.LoadPluginConfiguration()).config_json)
        assert loaded == {"colour": "blue", "size": 3, "tags": ["a"]}

        shown = json.loads((await client.GetConfig()).config_json)
        assert shown["SqlSettings"]["DataSource"] == HIDDEN
        assert shown["PluginSettings"]["Plugins"]["com.example.demo"] == settings
        whole = json.loads((await client.GetUnsanitizedConfig()).config_json)
        assert whole["SqlSettings"]["DataSource"].startswith("postgres://")
        shown["TeamSettings"]["SiteName"] = "Ours"
        await client.SaveConfig(config_json=json.dumps(shown).encode())
        assert mattermost.config["TeamSettings"]["SiteName"] == "Ours"
        assert mattermost.config["SqlSettings"] == whole["SqlSettings"]
        assert mattermost.events[-1].name == "config_changed"


async def test_websocket_events_logs_mails_and_dialogs() -> None:
    async with connected() as (mattermost, client):
        to = {
            "channel_id": TOWN,
            "omit_users": ["bob"],
            "connection_id": "c",
            "omit_connection_id": True,
        }
        await client.PublishWebSocketEvent(event="refresh", payload={"n": 1}, broadcast=to)
        event = mattermost.events[-1]
        assert (event.name, event.data) == ("custom_com.example.demo_refresh", {"n": 1.0})
        assert (event.channel_id, event.omit_users, event.omit_connection_id) == (
            TOWN,
            frozenset(("bob",)),
            "c",
        )

        pair = {"key": "n", "value": {"number_value": 2}}
        await client.LogDebug(msg="one", key_value_pairs=[pair])
        await client.LogInfo(msg="two")
        await client.LogWarn(msg="three")
        await client.LogError(msg="four")
        assert mattermost.log is not None
        lines = mattermost.log.lines("api")
        assert [line.level for line in lines] == ["debug", "info", "warn", "error"]
        assert lines[0].fields == {"n": 2.0, "plugin_id": "com.example.demo"}

        await client.SendMail(to="a@b.c", subject="hi", html_body="<p>")
        assert mattermost.mails == [("a@b.c", "hi", "<p>")]
        mattermost.triggers["t"] = "bob"
        dialog = {"trigger_id": "t", "dialog": {"title": "Order"}}
        await client.OpenInteractiveDialog(dialog=dialog)
        assert (mattermost.events[-1].name, mattermost.events[-1].user_id) == ("open_dialog", "bob")


async def test_the_server_and_its_plugin() -> None:
    async with connected(manifest={"name": "Demo", "version": "1.2.3"}) as (mattermost, client):
        assert (await client.GetLicense()).license_json == b""
        assert not (await client.IsEnterpriseReady()).is_enterprise_ready
        assert (await client.GetServerVersion()).version.count(".") == 2
        assert (await client.GetSystemInstallDate()).install_date == mattermost.installed_at
        same = (await client.GetDiagnosticId()).diagnostic_id
        assert (await client.GetTelemetryId()).telemetry_id == same
        assert is_id(same)
        assert (await client.GetBundlePath()).path.startswith("/")
        (manifest,) = (await client.GetPlugins()).manifests
        assert (manifest.id, manifest.name, manifest.version) == (
            "com.example.demo",
            "Demo",
            "1.2.3",
        )
        status = (await client.GetPluginStatus(id="com.example.demo")).status
        assert (status.state, status.name) == (2, "Demo")
        await client.PublishPluginClusterEvent()
        await client.RegisterCollectionAndTopic()


# -------------------------------------------------------------------- without a plugin


async def test_users_act_without_a_plugin() -> None:
    mattermost = Mattermost()
    post = await mattermost.post("town-square", "alice", "hello")
    assert mattermost.posts[post.id].message == "hello"
    await mattermost.react(post.id, "bob", "wave")
    assert (await mattermost.edit_post(post.id, "hello all")).message == "hello all"
    await mattermost.delete_post(post.id)
    carol = await mattermost.add_user("carol", first_name="Carol")
    assert (carol.first_name, is_id(carol.id)) == ("Carol", True)
    assert (TOWN, carol.id) in mattermost.channel_members
    with pytest.raises(AppError, match="no such command"):
        await mattermost.execute_command("alice", "town-square", "/weather")
    del mattermost.channel_members[TOWN, "bob"]
    with pytest.raises(AppError, match=r"api\.context\.permissions"):
        await mattermost.post(TOWN, "bob", "let me in")
    mattermost.log_in("dave")
    assert mattermost.users["dave"].id == "dave"
    mattermost.log_in("dave")
    assert (TOWN, "dave") in mattermost.channel_members
    await mattermost.settled()
    assert not mattermost.hook_calls


def test_time_is_moved() -> None:
    mattermost = Mattermost()
    now = mattermost.clock.now()
    mattermost.clock.advance(3600)
    assert mattermost.clock.now() - now >= 3_600_000
    mattermost.clock.stop()
    stopped = mattermost.clock.now()
    mattermost.clock.advance(0.5)
    assert mattermost.clock.now() == stopped + 500
