"""wire.port.Inbox: nothing lost, nothing twice, in order, and no waiter left behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_asgi.wire.port import Inbox

if TYPE_CHECKING:
    from collections.abc import Coroutine


def at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that must not yield to the loop."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("yielded to the loop")


async def turn() -> None:
    """Let every task that is ready run once, and those that it wakes."""
    for _ in range(3):
        await asyncio.sleep(0)


def test_a_message_that_is_here_is_returned_at_once() -> None:
    inbox = Inbox()
    inbox.put(1)
    inbox.put(2)
    assert at_once(inbox.get()) == 1
    assert at_once(inbox.get()) == 2


def test_the_end_is_none_for_ever_and_comes_after_the_messages() -> None:
    inbox = Inbox()
    inbox.put(1)
    inbox.end()
    inbox.put(2)
    assert [at_once(inbox.get()) for _ in range(3)] == [1, None, None]


def test_an_end_that_drops_forgets_what_nobody_read() -> None:
    inbox = Inbox()
    inbox.put(1)
    inbox.end(drop=True)
    assert at_once(inbox.get()) is None


def test_an_end_may_drop_later() -> None:
    inbox = Inbox()
    inbox.put(1)
    inbox.end()
    inbox.end(drop=True)
    assert at_once(inbox.get()) is None


def test_wants() -> None:
    inbox = Inbox()
    assert inbox.wants
    inbox.put(1)
    assert not inbox.wants
    assert at_once(inbox.get()) == 1
    assert inbox.wants
    inbox.end()
    assert not inbox.wants


async def test_waiters_are_served_in_their_order() -> None:
    inbox = Inbox()
    readers = [asyncio.create_task(inbox.get()) for _ in range(3)]
    await turn()
    for i in range(3):
        inbox.put(i)
    assert await asyncio.gather(*readers) == [0, 1, 2]


async def test_the_end_wakes_every_waiter() -> None:
    inbox = Inbox()
    readers = [asyncio.create_task(inbox.get()) for _ in range(3)]
    await turn()
    inbox.end()
    assert await asyncio.gather(*readers) == [None] * 3


async def test_a_reader_that_comes_between_takes_the_message_and_the_waiter_stays() -> None:
    inbox = Inbox()
    waiting = asyncio.create_task(inbox.get())
    await turn()
    inbox.put(1)
    assert at_once(inbox.get()) == 1
    await turn()
    assert not waiting.done()
    inbox.put(2)
    assert await waiting == 2


async def test_a_reader_cancelled_after_its_wake_wakes_the_next() -> None:
    inbox = Inbox()
    first, second = asyncio.create_task(inbox.get()), asyncio.create_task(inbox.get())
    await turn()
    inbox.put(1)
    first.cancel()
    assert await second == 1
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_message_waits_when_its_only_reader_was_cancelled_after_the_wake() -> None:
    inbox = Inbox()
    reader = asyncio.create_task(inbox.get())
    await turn()
    inbox.put(1)
    reader.cancel()
    await turn()
    assert reader.cancelled()
    assert not inbox.wants
    assert at_once(inbox.get()) == 1


async def test_cancelled_readers_leave_no_waiter() -> None:
    inbox = Inbox()
    for _ in range(1000):
        reader = asyncio.create_task(inbox.get())
        await asyncio.sleep(0)
        reader.cancel()
        await asyncio.sleep(0)
    assert len(inbox._waiters or ()) == 0


def test_a_read_closed_at_its_first_wait_leaves_no_waiter() -> None:
    async def poll(inbox: Inbox) -> None:
        for _ in range(100):
            reader = inbox.get()
            reader.send(None)
            reader.close()

    inbox = Inbox()
    asyncio.run(poll(inbox))
    assert len(inbox._waiters or ()) == 0


ACTIONS = st.lists(
    st.one_of(
        st.sampled_from(["put", "get", "turn", "end"]),
        st.tuples(st.just("cancel"), st.integers(0, 20)),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(ACTIONS)
def test_any_order_of_put_get_cancel_and_end(actions: list[str | tuple[str, int]]) -> None:
    asyncio.run(walk(actions))


async def walk(actions: list[str | tuple[str, int]]) -> None:
    """Do the actions, then end and compare what went in with what came out."""
    inbox = Inbox()
    walker = Walker(inbox)
    for action in actions:
        await walker.do(action)
        assert len(inbox._waiters or ()) <= walker.waiting
    await turn()
    if walker.waiting:
        # Whoever still waits does so with reason: every message has been taken.
        assert walker.got == walker.put
        assert not walker.ended
    inbox.end()
    await asyncio.wait_for(asyncio.gather(*walker.readers, return_exceptions=True), 5)
    while (message := await inbox.get()) is not None:
        walker.got.append(message)
    assert walker.got == walker.put
    assert len(inbox._waiters or ()) == 0


class Walker:
    """Does one action after the other and keeps the books."""

    def __init__(self, inbox: Inbox) -> None:
        self.inbox = inbox
        self.put: list[int] = []
        self.got: list[int] = []
        self.readers: list[asyncio.Task[None]] = []
        self.ended = False

    @property
    def waiting(self) -> int:
        """How many readers have not returned."""
        return sum(not reader.done() for reader in self.readers)

    async def do(self, action: str | tuple[str, int]) -> None:
        """One action; putting after the end must have no effect."""
        match action:
            case "put":
                self.inbox.put(len(self.put))
                if not self.ended:
                    self.put.append(len(self.put))
            case "get":
                self.readers.append(asyncio.create_task(self.read()))
            case "turn":
                await asyncio.sleep(0)
            case "end":
                self.inbox.end()
                self.ended = True
            case (_, index) if self.readers:
                self.readers[index % len(self.readers)].cancel()

    async def read(self) -> None:
        """One reader."""
        message = await self.inbox.get()
        if message is not None:
            self.got.append(message)
