"""How ids, categories and names become keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statekeep import InvalidKeyError
from statekeep.store import check_key, is_key
from statekeep.store.keys import (
    document_key,
    document_prefix,
    is_session_key,
    parse_document_key,
    session_key,
    session_stem,
)

any_id = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from("./\\%~\0"), min_size=1, max_size=80
)


class TestSessionIds:
    @pytest.mark.parametrize(
        "session_id",
        [
            "plain",
            "2024-01-01 planning",
            ".",
            ".hidden",
            "a.b.c",
            "x.json",
            "%41",
            "~",
            "CON",
            "会话-😀",
        ],
    )
    def test_a_harmless_id_is_its_own_file(self, session_id: str) -> None:
        assert session_key(session_id) == f"sessions/{session_id}.json"

    @pytest.mark.parametrize(
        ("session_id", "stem"),
        [
            ("slack:C1/17.5", "%..slack%3AC1%2F17.5"),
            ("../../etc/passwd", "%....%2F..%2Fetc%2Fpasswd"),
            ("/absolute", "%..%2Fabsolute"),
            ("back\\slash", "%..back%5Cslash"),
            ("..", "%...."),
            ("a..b", "%..a..b"),
            ("tab\there", "%..tab%09here"),
            ("nul\0", "%..nul%00"),
            ("del\x7f", "%..del%7F"),
            ("c1\x85", "%..c1%C2%85"),
            ("~/x", "%..%7E%2Fx"),
            ("%..already", "%..%25..already"),
        ],
    )
    def test_any_other_begins_with_what_the_original_never_opens(
        self, session_id: str, stem: str
    ) -> None:
        assert session_stem(session_id) == stem

    def test_a_long_id_ends_with_its_hash(self) -> None:
        stem = session_stem("é" * 512)
        assert len(stem) == 250
        assert stem.startswith("%..%C3%A9")
        assert len(stem.rpartition("~")[2]) == 64
        assert session_stem("é" * 511) != stem

    @pytest.mark.parametrize("session_id", ["", "x" * 513, "\ud800"])
    def test_what_is_no_id_is_refused(self, session_id: str) -> None:
        with pytest.raises(InvalidKeyError):
            session_key(session_id)

    @given(any_id)
    def test_every_id_has_a_legal_key_in_the_category_of_sessions(self, session_id: str) -> None:
        key = session_key(session_id)
        check_key(key)
        assert is_session_key(key)
        assert key == f"sessions/{session_stem(session_id)}.json"
        assert key.count("/") == 1

    @given(any_id, any_id)
    def test_two_ids_never_share_a_key(self, one: str, two: str) -> None:
        assert (session_key(one) == session_key(two)) == (one == two)

    @given(any_id)
    def test_an_id_never_meets_the_key_of_another_one_by_being_it(self, session_id: str) -> None:
        stem = session_stem(session_id)
        if stem != session_id:
            assert session_stem(stem) != stem


class TestDocumentNames:
    def test_category_and_name_make_the_key(self) -> None:
        assert document_key("specs/v1", "plan", "md") == "specs/v1/plan.md"
        assert document_key(".", "plan", "json") == "plan.json"
        assert document_key("./a/./b", "c", "md") == "a/b/c.md"

    @pytest.mark.parametrize(
        "name", ["", "a/b", "..", "a..b", "a\\b", "a\n", "\0", "\x85", "\ud800"]
    )
    def test_an_illegal_name_is_refused_with_the_rule(self, name: str) -> None:
        with pytest.raises(InvalidKeyError, match="name must not"):
            document_key("specs", name, "md")

    @pytest.mark.parametrize(
        "category", ["", "/", "/a", "a/", "a//b", "..", "a/../b", "a\\b", "a\t", "\ud800"]
    )
    def test_an_illegal_category_is_refused_with_the_rule(self, category: str) -> None:
        with pytest.raises(InvalidKeyError, match="category must not"):
            document_prefix(category)

    @pytest.mark.parametrize(
        "category", [".statekeep", ".statekeep/cache", "./.statekeep", ".StateKeep"]
    )
    def test_our_own_category_is_reserved(self, category: str) -> None:
        with pytest.raises(InvalidKeyError, match="reserved"):
            document_prefix(category)

    def test_a_name_may_be_as_long_as_a_file_name(self) -> None:
        assert document_key("a", "x" * 252, "md")
        with pytest.raises(InvalidKeyError, match="255 bytes"):
            document_key("a", "x" * 253, "md")
        with pytest.raises(InvalidKeyError, match="255 bytes"):
            document_key("a" * 256, "x", "md")

    def test_only_two_kinds_exist(self) -> None:
        with pytest.raises(InvalidKeyError, match="kind"):
            document_key("a", "x", "txt")  # type: ignore[arg-type]

    def test_a_key_says_which_document_it_is(self) -> None:
        assert parse_document_key("specs/v1/a.b.md") == ("specs/v1", "a.b", "md")
        assert parse_document_key("plan.json") == (".", "plan", "json")
        assert parse_document_key("plan.txt") is None
        assert parse_document_key("a/.md") is None
        assert parse_document_key(".statekeep/trash/x.json") is None


@given(st.text(max_size=300))
def test_a_checked_key_stays_below_its_base(key: str) -> None:
    if is_key(key):
        assert all(segment not in {"", ".", ".."} for segment in key.split("/"))
        assert not {"\0", "\\"} & set(key)
        key.encode()


def test_an_id_of_exactly_the_longest_stem_is_its_own_file() -> None:
    assert session_stem("x" * 250) == "x" * 250
    assert session_stem("x" * 251).startswith("%..xxx")


def test_an_encoded_id_of_exactly_the_longest_stem_is_not_hashed() -> None:
    assert session_stem("/" + "x" * 244) == "%..%2F" + "x" * 244
    assert "~" in session_stem("/" + "x" * 245)
