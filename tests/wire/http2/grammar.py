"""What the fuzzer feeds: sessions that are valid, then broken in random ways, cut at random.

A program is plain data, so that a finding can be pasted into a test: a list of steps, each a name
and its values. ``("read", b"...")`` are bytes that came; what the others mean is victims.py's.
"""

from __future__ import annotations

import gzip
import random
from typing import Any

from mm_asgi.wire.http2 import frames, hpack
from mm_asgi.wire.http2.frames import ErrorCode, FrameType, SettingID

Step = tuple[Any, ...]
Program = list[Step]

PATHS = [b"/echo", b"/pour", b"/hang", b"/once", b"/fail", b"/none", b"/" + b"\xff" * 300]
LONGEST = 150_000  # bytes of a message, more than the victims take
NUMBERS = [0, 1, 2, 4, 5, 6, 100, 4096, 16_383, 16_384, 16_385, 65_535, 2**24 - 1, 2**31 - 1, 2**31]
ODD_FIELDS = [
    (b"grpc-timeout", b"1n"), (b"grpc-timeout", b"5S"), (b"grpc-timeout", b"99999999H"),
    (b"grpc-timeout", b"x"), (b"content-length", b"7"), (b"content-length", b"-1"),
    (b"connection", b"close"), (b"grpc-encoding", b"gzip"), (b"x-bin", b"AAA"), (b"", b""),
    (b"X", b"upper"), (b":path", b"/echo"), (b"x", b"y" * 5000), (b"te", b"trailers"),
    (b"x", b"\0"), (b"grpc-status", b"0"),
]  # fmt: skip


class Grammar:
    """Makes programs for one role of the victim."""

    def __init__(self, rng: random.Random, *, client: bool) -> None:
        self.rng = rng
        self.client = client  # the victim is a client: the bytes are a server's
        self.newest = -1
        self.known: list[int] = []

    # ------------------------------------------------------------ frames

    def frame(self) -> bytes:
        """One frame, or a few that belong together."""
        rng = self.rng
        return rng.choices(
            [self.request, self.data, self.end, self.reset, self.window, self.settings, self.ping,
             self.rare, self.trailers, self.tiny],
            [25, 30, 10, 8, 10, 3, 3, 3, 3, 5],
        )[0]()  # fmt: skip

    def stream(self) -> int:
        """A stream, mostly one that is open."""
        rng = self.rng
        if self.known and rng.random() < 0.95:
            return rng.choice(self.known[-8:])
        return max(0, rng.choice([0, 1, 2, 3, self.newest, self.newest + 2, 2**31 - 1]))

    def request(self) -> bytes:
        """A request, or what a server answers."""
        rng = self.rng
        if self.client:
            number = self.stream()
            fields = [(b":status", rng.choice([b"200"] * 5 + [b"100", b"304", b"2x0", b"500"]))]
        else:
            step = 2 if rng.random() < 0.97 else rng.choice([0, 1, 4, 100, -2])
            self.newest = max(0, self.newest + step)
            number = self.newest
            fields = [(b":method", rng.choice([b"POST"] * 20 + [b"GET", b"HEAD", b"CONNECT"])),
                      (b":scheme", b"http"), (b":path", rng.choice(PATHS))]  # fmt: skip
        self.known.append(number)
        fields.append((b"content-type", rng.choice([b"application/grpc"] * 20 + [b"text/plain"])))
        if rng.random() < 0.3:
            fields.append((b"grpc-encoding", b"gzip"))
        while rng.random() < 0.15:
            fields.insert(rng.randrange(len(fields) + 1), rng.choice(ODD_FIELDS))
        return self.headers(number, self.block(fields), end=rng.random() < 0.2)

    def block(self, fields: list[hpack.Field]) -> bytes:
        """A header block, at times with what the plain encoder never writes."""
        rng = self.rng
        block = hpack.encode(fields)
        extra = rng.random()
        if extra < 0.1:  # into the dynamic table, and named again
            block += b"\x40\x01x\x05" + bytes(rng.choices(b"abc", k=5))
        elif extra < 0.2:
            block += b"\xbe" * rng.choice([1, 1, 2, 2000])
        elif extra < 0.25:
            block = hpack.table_size_update(rng.choice([0, 31, 4096, 4097])) + block
        elif extra < 0.27:
            block += b"\x40\x84" + rng.randbytes(4) + b"\x01z"  # Huffman, perhaps
        return block

    def headers(self, number: int, block: bytes, *, end: bool) -> bytes:
        """HEADERS, padded or in parts at times."""
        rng = self.rng
        way = rng.random()
        flags = frames.END_STREAM if end else 0
        if way < 0.85:
            return frames.headers(number, block, end=end, limit=16_384)
        if way < 0.9:
            padding = rng.randrange(50)
            return frames.frame(1, flags | 0x0C, number, bytes((padding,)) + block + bytes(padding))
        if way < 0.93:
            return frames.frame(1, flags | 0x24, number, rng.randbytes(5) + block)
        cut = rng.randrange(len(block) + 1)
        return frames.frame(1, flags, number, block[:cut]) + frames.frame(9, 4, number, block[cut:])

    def message(self) -> bytes:
        """A Length-Prefixed-Message, right or nearly so."""
        rng = self.rng
        size = rng.choices(
            [0, 1, 5, 100, 3000, 20_000, 80_000, 120_000], [4, 4, 4, 8, 2, 1, 1, 0.3]
        )[0]
        body = b"" if not size else b"\x0a" + varint(size) + bytes(size)
        if rng.random() < 0.05:
            body = rng.randbytes(len(body))
        flag = 1 if rng.random() < 0.02 else 0
        if rng.random() < 0.1:
            packed = gzip.compress(body[:20_000] * rng.choice([1, 1, 100]), 1, mtime=0)
            flag, body = 1, (packed * rng.choice([1, 1, 20]))[:LONGEST]
        length = len(body) if rng.random() < 0.96 else rng.choice(NUMBERS)
        return bytes((flag,)) + length.to_bytes(4, "big") + body

    def data(self) -> bytes:
        """A message in DATA frames."""
        rng = self.rng
        number, whole = self.stream(), self.message()
        parts = []
        while whole:
            size = rng.choice([16_384, 16_384, 16_384, 5, 1000])
            padding = rng.randrange(200) if rng.random() < 0.1 and size < 16_000 else None
            part, whole = whole[:size], whole[size:]
            if padding is None:
                parts.append(frames.frame(0, 0, number, part))
            else:
                parts.append(frames.frame(0, 8, number, bytes((padding,)) + part + bytes(padding)))
        return b"".join(parts)

    def end(self) -> bytes:
        return frames.frame(0, frames.END_STREAM, self.stream(), b"")

    def trailers(self) -> bytes:
        return self.headers(
            self.stream(), self.block([(b"grpc-status", b"0")]), end=self.rng.random() < 0.9
        )

    def reset(self) -> bytes:
        return frames.reset(self.stream(), self.rng.choice([*ErrorCode, 4711]))

    def window(self) -> bytes:
        rng = self.rng
        return frames.window_update(
            rng.choice([0, self.stream()]), rng.choice([1, 10, 1000, 65_535, 10**6, *NUMBERS[:2]])
        )

    def settings(self) -> bytes:
        rng = self.rng
        if rng.random() < 0.3:
            return frames.SETTINGS_ACK
        payload = b""
        for _ in range(rng.choice([0, 1, 1, 2, 5])):
            key = rng.choice([*SettingID, 4, 4, 1, 9])
            value = rng.choice([0, 1, 10, 100, 4095, 16_384, 65_535, 10**6, *NUMBERS[-4:]])
            if key == SettingID.ENABLE_PUSH or rng.random() < 0.8:
                value %= 2 if key == SettingID.ENABLE_PUSH else 10**6
            if key == SettingID.MAX_FRAME_SIZE and rng.random() < 0.9:
                value = max(value, 16_384)
            payload += key.to_bytes(2, "big") + value.to_bytes(4, "big")
        return frames.frame(FrameType.SETTINGS, 0, 0, payload)

    def ping(self) -> bytes:
        rng = self.rng
        return frames.ping(rng.choice([b"mmgoaway", b"12345678"]), ack=rng.random() < 0.5)

    def tiny(self) -> bytes:
        """Many of what brings nothing."""
        rng = self.rng
        one = rng.choice([frames.frame(0, 0, self.stream(), b"x"), frames.ping(b"12345678"),
                          frames.window_update(self.stream(), 1), frames.settings({})])  # fmt: skip
        return one * rng.choice([1, 1, 3, 50, 300])

    def rare(self) -> bytes:
        rng = self.rng
        return rng.choice([
            frames.go_away(rng.choice(NUMBERS[:-1]), rng.choice([0, 11]), "text"),
            frames.frame(2, 0, self.stream(), rng.randbytes(rng.choice([5, 5, 5, 4]))),
            frames.frame(rng.randrange(256), rng.randrange(256), self.stream(),
                         rng.randbytes(rng.choice([0, 4, 8, 30]))),
        ])  # fmt: skip

    # ------------------------------------------------------------ programs

    def program(self) -> Program:
        """A whole run."""
        rng = self.rng
        greeting = frames.settings({}) if self.client else frames.PREFACE + frames.settings({})
        parts = [greeting if rng.random() < 0.98 else rng.randbytes(rng.randrange(60))]
        if self.client:
            self.known = [1, 3, 5, 7]
        if rng.random() < 0.03:
            return self.flood(greeting)
        parts += [self.frame() for _ in range(rng.choice([1, 3, 10, 30, 80]))]
        if rng.random() < 0.5:
            parts = self.mutated(parts)
        return self.cut(parts)

    def flood(self, greeting: bytes) -> Program:
        """One frame without end, for a side that cannot get rid of its answers."""
        rng = self.rng
        first = [frames.window_update(0, 10**6), frames.settings({SettingID.INITIAL_WINDOW_SIZE: 10**6}),
                 self.request(), self.request(), self.data()]  # fmt: skip
        one = rng.choice([self.ping, self.settings, self.window, self.tiny])()
        count = 400_000 // len(one)
        parts = [self.request() if rng.random() < 0.1 else one for _ in range(count)]
        whole = b"".join(parts)
        size = rng.choice([3_000, 20_000])
        reads: Program = [("read", whole[at : at + size]) for at in range(0, len(whole), size)]
        return [("read", greeting + b"".join(first)), ("turn",), ("stuck",), *reads]

    def mutated(self, parts: list[bytes]) -> list[bytes]:
        """Frames dropped, doubled, swapped, and bytes changed."""
        rng = self.rng
        for _ in range(rng.choice([1, 1, 2, 5])):
            at = rng.randrange(len(parts))
            way = rng.randrange(7)
            part = bytearray(parts[at])
            if way == 0:
                part = bytearray()
            elif way == 1:
                part *= 2
            elif way == 2:
                other = rng.randrange(len(parts))
                part, parts[other] = bytearray(parts[other]), parts[at]
            elif way == 3 and part:
                part[rng.randrange(len(part))] = rng.randrange(256)
            elif way == 4 and len(part) >= 9:  # in the frame's header
                part[rng.randrange(9)] = rng.choice([0, 1, 4, 5, 8, 9, 0x20, 0x40, 0x7F, 0xFF])
            elif way == 5:
                part = part[: rng.randrange(len(part) + 1)]
            else:
                part += rng.randbytes(rng.randrange(40))
            parts[at] = bytes(part)
        return parts

    def cut(self, parts: list[bytes]) -> Program:
        """Reads of any size, and what happens between them."""
        rng = self.rng
        whole = b"".join(parts)
        longest = rng.choice([7, 100, 1000, 20_000, 262_144])
        program: Program = []
        at = 0
        while at < len(whole):
            size = rng.randint(1, longest) if len(program) < 3000 else 262_144
            program.append(("read", whole[at : at + size]))
            at += size
            if rng.random() < 0.3:
                program.append(self.between())
        return program

    def between(self) -> Step:
        """Something that this side does, or that happens to it."""
        rng = self.rng
        return rng.choice([
            ("turn",), ("turn",), ("turn",), ("stuck",), ("drain",), ("drain",),
            ("wait", rng.choice([0.001, 1.0, 100.0])),
            ("leave",) if rng.random() < 0.1 else ("turn",),
            ("send", rng.randrange(9), rng.choice([1, 10, 1000, 70_000])),
            ("send", rng.randrange(9), rng.choice([1, 10, 1000, 70_000])),
            ("end", rng.randrange(9)), ("reset", rng.randrange(9)), ("open",),
        ])  # fmt: skip


def varint(value: int) -> bytes:
    """Protobuf's."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def program(seed: int, *, client: bool) -> Program:
    """The program of a seed."""
    return Grammar(random.Random(seed), client=client).program()
