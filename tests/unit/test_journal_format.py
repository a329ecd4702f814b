"""Heads of journals as bytes: what is read of sound, torn and damaged ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from statekeep import CorruptDataError, UnsupportedError
from statekeep.format.journal import (
    Change,
    Header,
    SegmentName,
    decode_head,
    encode_head,
    encode_line,
)

UID = "0123456789abcdef" * 2
HEADER = Header(
    uid=UID,
    n=3,
    about={
        "name": ["ada", "thread-17"],
        "user_id": None,
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
    },
    metadata={"title": "Häuser"},
    segments=(SegmentName("000000000000-aaaa", 2, 40, "f" * 32, 0),),
    before={"items": 2, "bytes": 40},
    keys=("a" * 24,),
    ids=(("b" * 24, 3),),
    attached=True,
    more={"later": [1]},
)
CHANGES = tuple(
    Change(
        n=4 + place,
        id=f"{place:024x}",
        at="2026-01-01T00:00:01Z",
        items=({"role": "user", "content": "\n\u2028~J*"}, place),
        keys=("c" * 24,),
        set={"k": place},
        unset=("gone",),
        about={"user_id": "ada"},
        more={"x_later": place},
    )
    for place in range(4)
)
DATA = encode_head(HEADER, CHANGES)
LINES = DATA.splitlines(keepends=True)


def sealed_by_hand(lines: list[bytes]) -> bytes:
    seal = ""
    written = []
    for line in lines:
        body = line[: line.rindex(b',"~":')] + b"}"
        seal = blake3(seal.encode() + body).digest()[:16].hex()
        written.append(body[:-1] + f',"~":"{seal}"}}\n'.encode())
    return b"".join(written)


class TestASoundHead:
    def test_reads_back_the_same(self) -> None:
        head = decode_head(DATA)
        assert (head.header, head.changes) == (HEADER, CHANGES)
        assert (head.n, head.sound, sum(head.sizes)) == (7, len(DATA), len(DATA) - len(LINES[0]))

    def test_is_sealed_as_the_format_says(self) -> None:
        assert sealed_by_hand(LINES) == DATA

    def test_is_json_lines_that_begin_with_the_format(self) -> None:
        assert DATA.startswith(b'{"statekeep":2,"uid":')
        assert [list(orjson.loads(line))[-1] for line in LINES] == ["~"] * 5
        assert list(orjson.loads(LINES[1])) == [
            "n", "id", "at", "items", "keys", "unset", "set", "about", "x_later", "~",
        ]  # fmt: skip

    def test_may_be_a_header_alone(self) -> None:
        head = decode_head(encode_head(HEADER))
        assert (head.n, head.changes) == (3, ())

    def test_is_followed_from_what_is_known(self) -> None:
        beginning = b"".join(LINES[:3])
        known = decode_head(beginning)
        assert decode_head(DATA, known=(known, beginning)) == decode_head(DATA)
        other = encode_head(replace(HEADER, uid="f" * 32), CHANGES)
        assert decode_head(other, known=(known, beginning)) == decode_head(other)


class TestATornEnd:
    def test_is_ignored_wherever_it_is_cut(self) -> None:
        before = decode_head(b"".join(LINES[:-1]))
        start = len(DATA) - len(LINES[-1])
        for cut in range(start, len(DATA)):
            assert decode_head(DATA[:cut]) == before

    def test_is_ignored_whichever_byte_is_zeroed(self) -> None:
        before = decode_head(b"".join(LINES[:-1]))
        start = len(DATA) - len(LINES[-1])
        for place in range(start, len(DATA)):
            assert decode_head(DATA[:place] + b"\0" + DATA[place + 1 :]) == before
            # As a file may be after a power cut: as long as it was to be, and empty from there.
            assert decode_head(DATA[:place].ljust(len(DATA), b"\0")) == before

    def test_is_ignored_whichever_bit_is_flipped(self) -> None:
        beginning = b"".join(LINES[:-1])
        before = decode_head(beginning)
        first = decode_head(LINES[0])
        ends = 0
        for place in range(len(beginning), len(DATA)):
            for bit in range(8):
                data = bytearray(DATA)
                data[place] ^= 1 << bit
                if data[place] == 0x0A:
                    # Then it is two lines, which no write that was cut off leaves.
                    ends += 1
                    with pytest.raises(CorruptDataError, match="line 5 of the journal"):
                        decode_head(bytes(data))
                    continue
                assert decode_head(bytes(data)) == before
                assert decode_head(bytes(data), known=(before, beginning)) == before
                assert decode_head(bytes(data), known=(first, LINES[0])) == before
        assert ends > 0

    @given(st.binary(max_size=200), st.sampled_from([b"", b"\n"]))
    def test_is_ignored_whatever_it_is(self, line: bytes, end: bytes) -> None:
        assert decode_head(DATA + line.replace(b"\n", b"") + end) == decode_head(DATA)


class TestDamage:
    def test_before_a_sound_line_is_never_skipped(self) -> None:
        # Without the line feed before it, the last line is part of a line that was cut off.
        end = len(DATA) - len(LINES[-1]) - 1
        for place in range(len(LINES[0]), end):
            data = bytearray(DATA)
            data[place] ^= 1
            with pytest.raises(CorruptDataError, match="damaged"):
                decode_head(bytes(data))

    def test_is_what_no_write_that_was_cut_off_leaves(self) -> None:
        for end in (b"x\ny", b"\n\n", LINES[0] + LINES[1]):
            with pytest.raises(CorruptDataError, match="line 6 of the journal is damaged"):
                decode_head(DATA + end)

    def test_of_the_header_is_never_skipped(self) -> None:
        for place in range(len(LINES[0])):
            data = bytearray(DATA)
            data[place] ^= 1
            with pytest.raises((CorruptDataError, UnsupportedError)):
                decode_head(bytes(data))

    @pytest.mark.parametrize(
        "lines",
        [
            [0, 1, 3, 4],
            [0, 1, 2, 2, 3, 4],
            [0, 2, 1, 3, 4],
            [1, 2],
            [],
        ],
        ids=str,
    )
    def test_is_a_line_that_is_missing_or_foreign(self, lines: list[int]) -> None:
        with pytest.raises(CorruptDataError):
            decode_head(b"".join(LINES[line] for line in lines))

    @pytest.mark.parametrize(
        "lines", [[0, 1, 3, 4], [0, 1, 2, 2, 3, 4], [0, 2, 1], [0, 2]], ids=str
    )
    def test_is_a_number_that_does_not_follow_even_under_sound_seals(
        self, lines: list[int]
    ) -> None:
        data = sealed_by_hand([LINES[line] for line in lines])
        with pytest.raises(CorruptDataError, match="stands where"):
            decode_head(data)

    @pytest.mark.parametrize(
        "change",
        [
            {"uid": 5}, {"n": "3"}, {"about": []}, {"metadata": None}, {"segments": [[1]]},
            {"keys": [1]}, {"ids": ["a"]}, {"attached": 1}, {"statekeep": 1},
        ],
        ids=str,
    )  # fmt: skip
    def test_is_a_sealed_line_that_says_something_else(self, change: dict[str, Any]) -> None:
        line, _ = encode_line(HEADER.fields() | change, "")
        with pytest.raises(CorruptDataError):
            decode_head(line)

    def test_is_a_drop_of_less_than_nothing(self) -> None:
        header, seal = encode_line(HEADER.fields(), "")
        line, _ = encode_line(CHANGES[0].fields() | {"drop": -1}, seal)
        with pytest.raises(CorruptDataError, match="drops -1 items"):
            decode_head(header + line)

    def test_is_not_a_newer_format(self) -> None:
        line, _ = encode_line(HEADER.fields() | {"statekeep": 3}, "")
        with pytest.raises(UnsupportedError, match="format 3"):
            decode_head(line)
