"""HPACK's Huffman code, decoding only: the strings that this side sends are too short to gain from it.

RFC 7541 section 5.2 and appendix B. The code is canonical, so the codes follow from their lengths.
It is read four bits at a time. No code has fewer than five, so four bits never complete two symbols.
"""

from __future__ import annotations

from array import array
from typing import Final

__all__ = ["HuffmanError", "decode"]

# fmt: off
LENGTHS: Final = (
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
)
"""Bits of each symbol's code, by appendix B; 256 is EOS."""
# fmt: on

EOS: Final = 256
_DEAD: Final = 0xFFFF


class HuffmanError(ValueError):
    """The bits are not a Huffman-coded string (section 5.2)."""


def _tree() -> list[list[int]]:
    """Return the code's tree as a list of nodes, the root first.

    A node is a pair, for a 0 bit and a 1 bit: the index of another node, or -1 - symbol.
    """
    nodes = [[0, 0]]
    code, before = 0, 0
    for symbol in sorted(range(len(LENGTHS)), key=lambda symbol: (LENGTHS[symbol], symbol)):
        length = LENGTHS[symbol]
        code = (code + 1 if before else 0) << (length - before)
        before = length
        node = 0
        for shift in range(length - 1, 0, -1):
            bit = code >> shift & 1
            if not nodes[node][bit]:
                nodes.append([0, 0])
                nodes[node][bit] = len(nodes) - 1
            node = nodes[node][bit]
        nodes[node][code & 1] = -1 - symbol
    return nodes


def _steps(nodes: list[list[int]]) -> tuple[array[int], array[int]]:
    """Return two tables, indexed by node * 16 + four bits.

    The first has the next node (_DEAD at EOS), the second 1 + the symbol that the bits complete, or
    0.
    """
    following, symbols = array("H"), array("H")
    for node in range(len(nodes)):
        for bits in range(16):
            at, symbol = node, 0
            for shift in (3, 2, 1, 0):
                at = nodes[at][bits >> shift & 1]
                if at < 0:
                    symbol, at = -at, 0
                    if symbol == 1 + EOS:
                        at = _DEAD
                        break
            following.append(at)
            symbols.append(symbol)
    return following, symbols


def _endings(nodes: list[list[int]]) -> frozenset[int]:
    """Return the nodes at which a string may end.

    They are the root, and those up to seven 1 bits below it, which are the beginning of EOS.
    """
    node, endings = 0, [0]
    for _ in range(7):
        node = nodes[node][1]
        endings.append(node)
    return frozenset(endings)


_NODES = _tree()
_NEXT, _SYMBOL = _steps(_NODES)
_ENDINGS = _endings(_NODES)
del _NODES


def decode(data: bytes) -> bytes:
    """Return the string that ``data`` encodes.

    Raises:
        HuffmanError: it holds EOS, or its padding is longer than seven bits or not all ones.
    """
    out = bytearray()
    node = 0
    following, symbols = _NEXT, _SYMBOL
    for octet in data:
        step = node << 4 | octet >> 4
        if symbol := symbols[step]:
            out.append((symbol - 1) & 0xFF)
        node = following[step]
        if node == _DEAD:
            raise HuffmanError("the string contains EOS")
        step = node << 4 | octet & 0xF
        if symbol := symbols[step]:
            out.append((symbol - 1) & 0xFF)
        node = following[step]
        if node == _DEAD:
            raise HuffmanError("the string contains EOS")
    if node not in _ENDINGS:
        raise HuffmanError("the padding is not the start of EOS, or is longer than 7 bits")
    return bytes(out)
