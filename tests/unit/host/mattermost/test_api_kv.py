"""The plugin's keys and values: against a plain dict, over time, and under many callers."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mm_asgi.host.mattermost.kv_store import DEFAULT_PAGE, KVStore
from tests.unit.host.mattermost.api_client import connected

KEYS = st.sampled_from(["a", "b", "c", "ä"])
VALUES = st.sampled_from([b"", b"1", b"2"])
SECONDS = st.sampled_from([0, 1, 5, -1])


class AgainstADict(RuleBasedStateMachine):
    """The store and a dict of key to (value, when it expires) are told the same."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000_000
        self.store = KVStore(lambda: self.now)
        self.model: dict[str, tuple[bytes, int]] = {}

    def value(self, key: str) -> bytes:
        value, end = self.model.get(key, (b"", 0))
        return value if not end or end > self.now else b""

    def put(self, key: str, value: bytes, seconds: int) -> None:
        if value:
            self.model[key] = (value, self.now + seconds * 1000 if seconds else 0)
        else:
            self.model.pop(key, None)

    @rule(key=KEYS, value=VALUES, seconds=SECONDS)
    def set(self, key: str, value: bytes, seconds: int) -> None:
        self.store.set(key, value, seconds)
        self.put(key, value, seconds)

    @rule(key=KEYS, old=VALUES, new=VALUES, seconds=SECONDS)
    def compare_and_set(self, key: str, old: bytes, new: bytes, seconds: int) -> None:
        # Nothing is not deleted: there the server says False.
        wanted = self.value(key) == old and bool(old or new)
        assert self.store.compare_and_set(key, old, new, seconds) is wanted
        if wanted:
            self.put(key, new, seconds)

    @rule(key=KEYS, old=VALUES)
    def compare_and_delete(self, key: str, old: bytes) -> None:
        wanted = bool(old) and self.value(key) == old
        assert self.store.compare_and_delete(key, old) is wanted
        if wanted:
            self.put(key, b"", 0)

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        self.store.delete(key)
        self.put(key, b"", 0)

    @rule()
    def clear(self) -> None:
        self.store.clear()
        self.model.clear()

    @rule(milliseconds=st.sampled_from([1, 999, 1000, 5000]))
    def time_goes_on(self, milliseconds: int) -> None:
        self.now += milliseconds

    @invariant()
    def they_agree(self) -> None:
        alive = sorted(key for key in self.model if self.value(key))
        assert list(self.store) == alive
        assert len(self.store) == len(alive)
        assert {key: self.store[key] for key in self.store} == {k: self.value(k) for k in alive}
        assert self.store.page(0, 2) + self.store.page(1, 2) == alive[:4]


TestAgainstADict = AgainstADict.TestCase
TestAgainstADict.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


async def test_set_get_list_and_delete() -> None:
    async with connected() as (mattermost, client):
        for number in range(12):
            await client.KVSet(key=f"k{number:02}", value=b"v")
        assert len((await client.KVList()).keys) == DEFAULT_PAGE
        assert (await client.KVList(page=1, per_page=5)).keys == [f"k{n:02}" for n in range(5, 10)]
        assert (await client.KVList(page=-1, per_page=1)).keys == ["k00"]
        await client.KVDelete(key="k00")
        await client.KVDelete(key="not there")
        await client.KVSet(key="k01", value=b"")
        assert (await client.KVGet(key="k00")).value == (await client.KVGet(key="k01")).value == b""
        assert mattermost.kv["k02"] == b"v"
        assert "k01" not in mattermost.kv
        await client.KVDeleteAll()
        assert (await client.KVList()).keys == []


async def test_a_key_expires_when_the_servers_time_has_come() -> None:
    async with connected() as (mattermost, client):
        mattermost.clock.stop()
        await client.KVSetWithExpiry(key="a", value=b"1", expire_in_seconds=10)
        await client.KVSetWithOptions(key="b", value=b"1", options={"expire_in_seconds": 10})
        await client.KVSetWithExpiry(key="ever", value=b"1", expire_in_seconds=0)
        mattermost.clock.advance(9.999)
        assert (await client.KVList()).keys == ["a", "b", "ever"]
        mattermost.clock.advance(0.001)
        assert (await client.KVList()).keys == ["ever"]
        assert (await client.KVGet(key="a")).value == b""
        # What has expired is not there for an atomic insert, nor for a comparison.
        assert not (await client.KVCompareAndDelete(key="a", old_value=b"1")).success
        assert not (await client.KVCompareAndSet(key="a", old_value=b"1", new_value=b"2")).success
        assert (await client.KVCompareAndSet(key="a", new_value=b"2")).success


async def test_atomic_options() -> None:
    async with connected() as (_, client):

        async def put(value: bytes, old: bytes) -> bool:
            options = {"atomic": True, "old_value": old}
            answer = await client.KVSetWithOptions(key="k", value=value, options=options)
            return bool(answer.success)

        assert await put(b"1", b"")
        assert not await put(b"2", b"")
        assert not await put(b"2", b"0")
        assert await put(b"2", b"1")
        assert not await put(b"", b"1")
        assert await put(b"", b"2")
        assert (await client.KVGet(key="k")).value == b""
        assert (await client.KVSetWithOptions(key="k", value=b"3")).success
        assert (await client.KVCompareAndDelete(key="k", old_value=b"3")).success
        assert not (await client.KVCompareAndDelete(key="k")).success


async def test_of_many_who_set_at_once_one_wins() -> None:
    async with connected() as (mattermost, client):

        async def count() -> None:
            for _ in range(200):
                old = (await client.KVGet(key="n")).value
                new = str(int(old or b"0") + 1).encode()
                answer = await client.KVCompareAndSet(key="n", old_value=old, new_value=new)
                if answer.success:
                    return
            raise AssertionError("200 losses in a row")

        await asyncio.gather(*(count() for _ in range(15)))
        assert mattermost.kv["n"] == b"15"

        async def insert(value: bytes) -> Any:
            return await client.KVCompareAndSet(key="one", new_value=value)

        answers = await asyncio.gather(*(insert(b"%d" % number) for number in range(15)))
        assert [answer.success for answer in answers].count(True) == 1
