from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statekeep.timestamps import (
    format_timestamp,
    from_microseconds,
    from_nanoseconds,
    parse_timestamp,
    to_microseconds,
    to_nanoseconds,
)

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
