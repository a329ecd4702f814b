"""Names of blobs become keys of their own, and come back from them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statekeep.errors import InvalidKeyError
from statekeep.store.keys import blob_key, blob_name, check_key

parts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=45),
    st.text(st.sampled_from("a.%~/2E"), max_size=8),
)
names = st.lists(parts, max_size=5).flatmap(
    lambda folders: parts.filter(bool).map(lambda file: (*folders, file))
)


def key_of(name: tuple[str, ...]) -> str | None:
    try:
        return blob_key("c", name)
    except InvalidKeyError:
        return None  # four bytes in three letters each, say


@given(names, names)
def test_no_two_share_a_key_and_none_is_the_folder_of_another(
    one: tuple[str, ...], two: tuple[str, ...]
) -> None:
    first, second = key_of(one), key_of(two)
    if first and second:
        assert (first == second) == (one == two)
        assert not first.startswith(f"{second}/")
        assert not second.startswith(f"{first}/")


@given(names)
def test_every_key_is_legal_short_and_read_back(name: tuple[str, ...]) -> None:
    key = key_of(name)
    if key:
        check_key(key)
        assert len(key.encode()) < 900
        found = blob_name(key)
        assert found
        assert found[-1] == name[-1]
        for stem, part in zip(found, name, strict=True):
            assert stem == part or "~" in stem


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (("plot.png",), "blobs/c/plot.png"),
        (("ada", "plot 1.png"), "blobs/c/ada/plot 1.png"),
        (("ada.b", "plot"), "blobs/c/%..ada.b/%.plot"),
        (("", "a/b.png"), "blobs/c/%../%.a%2Fb.png"),
        (("a", ".."), "blobs/c/a/%.%2E."),
        (("a", "x.tmp"), "blobs/c/a/%.x%2Etmp"),
        (("a", "%.x.png"), "blobs/c/a/%.%25.x.png"),
        (("a", "100%.png"), "blobs/c/a/100%.png"),
        (("a", "é.png"), "blobs/c/a/é.png"),
    ],
)
def test_keys_are_readable_where_names_are_harmless(name: tuple[str, ...], key: str) -> None:
    assert blob_key("c", name) == key
    assert blob_name(key) == name


@pytest.mark.parametrize(
    "key",
    [
        "blobs/c",
        "blobs/c/plain",
        "blobs/c/x..y",
        "blobs/c/x.y/a.png",
        "blobs/c/%.plot.png",
        "blobs/c/%..x/%..x",
        "blobs/C/a.png",
        "blobs/c/a/b/c/d/e/f/g.png",
        "journals/c/a.png",
        "blobs/c/%.%FF",
    ],
)
def test_other_keys_are_no_blobs(key: str) -> None:
    assert blob_name(key) is None
