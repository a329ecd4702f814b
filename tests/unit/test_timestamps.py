from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statekeep.timestamps import (
    format_timestamp,
    from_microseconds,
    from_nanoseconds,
    parse_timestamp,
    parse_timestamps,
    to_microseconds,
    to_nanoseconds,
)

if TYPE_CHECKING:
    from collections.abc import Callable

moments = st.datetimes(timezones=st.just(UTC))


@given(moments)
def test_a_time_comes_back_from_text_and_from_numbers(moment: datetime) -> None:
    assert parse_timestamp(format_timestamp(moment)) == moment
    assert from_microseconds(to_microseconds(moment)) == moment
    assert from_nanoseconds(to_nanoseconds(moment)) == moment


@given(moments, moments)
def test_numbers_sort_as_times_do(one: datetime, other: datetime) -> None:
    assert (one < other) == (to_microseconds(one) < to_microseconds(other))


@given(moments, st.text("0123456789", min_size=1, max_size=12))
def test_digits_beyond_microseconds_are_cut(moment: datetime, digits: str) -> None:
    whole = moment.replace(microsecond=0)
    cut = int(digits[:6].ljust(6, "0"))
    text = format_timestamp(whole).replace("Z", f".{digits}Z")
    assert parse_timestamp(text) == whole.replace(microsecond=cut)


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-01T10:20:30.123456abcZ",
        "2024-01-01T10:20:30.123456,12Z",
        "2024-01-01T10:20:30.12345678\u0663Z",
        "2024-01-01T10:20:30.Z",
        "2024-W01-1T10:20:30Z",
        "20240101T102030.123456Z",
        "2024-01-01T10:20:30,123456Z",
        "2024-01-01T24:00:00Z",
    ],
)
def test_what_only_pythons_own_parser_takes_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_timestamp(text)


odd = st.one_of(
    st.sampled_from(["2024-02-30T00:00:00Z", "2024-01-01T24:00:00.0Z", "2024-01-01T00:00:00,5Z",
                     "2024-01-01T00:00:00.5Z\n", "20240101T000000Z", "2024-W01-1T00:00:00Z", "",
                     "2024-01-01T23:59:60Z", "0000-01-01T00:00:00Z", "2024-01-01t00:00:00z",
                     "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59.9999999999Z",
                     "٢٠٢٤-01-01T00:00:00Z"]),
    st.from_regex(r"20\d\d-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{0,12})?(Z|z|[+-]\d\d:?\d\d)?\n?"),
    moments.map(format_timestamp),
)  # fmt: skip


@given(st.lists(odd, max_size=4))
def test_several_are_read_as_each_is(texts: list[str]) -> None:
    def read(parse: Callable[[], list[datetime]]) -> object:
        try:
            return parse()
        except ValueError as error:
            return type(error), str(error)

    together = read(lambda: parse_timestamps(texts))
    assert together == read(lambda: [parse_timestamp(text) for text in texts])
