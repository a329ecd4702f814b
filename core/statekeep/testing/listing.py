"""Tests of listings, whoever wrote the sessions."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import TYPE_CHECKING, Any

from statekeep import (
    ANY,
    AgentResponse,
    CorruptDataError,
    NotFoundError,
    Session,
    Sessions,
    StateStore,
    UnsupportedError,
)
from statekeep.heads.collection import SESSION_HEADS
from statekeep.store import SupportsQuery, TransformingStore, power
from statekeep.store.keys import session_key
from statekeep.store.query import ORDERS
from statekeep.testing.fixtures import SessionFixtures

if TYPE_CHECKING:
    from collections.abc import Callable

    from statekeep.format.summary import Summary
    from statekeep.sessions.repository import Form
    from statekeep.store import ConflictPolicy, Record

__all__ = ["ListingContract"]

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class _Plain(TransformingStore):
    """A wrapper that hides the store's records."""

    def encode(self, key: str, data: bytes) -> bytes:  # noqa: ARG002
        return data

    def decode(self, key: str, data: bytes) -> bytes:  # noqa: ARG002
        return data


class ListingContract(SessionFixtures):
    """The part of `SessionsContract` about listings of sessions by several writers."""

    def test_a_listing_matches_a_full_read_whoever_wrote(
        self, store: StateStore, location: str, form: Form, conflicts: ConflictPolicy
    ) -> None:
        seed = 11
        chance = random.Random(seed)
        plain = _Plain(self.open(location))
        sessions = Sessions(store, form=form, conflicts=conflicts)
        writers = [sessions, sessions, Sessions(plain, form=form, conflicts=conflicts)]
        with plain:
            for step in range(6 if store.capabilities.remote else 40):
                done = [_write(chance, chance.choice(writers), plain) for _ in range(3)]
                expected, damaged = _read_all(plain)
                what = f"step {step}, after {', '.join(done)}"
                listing = sessions.list()
                assert [*listing] == _in_order(expected, "updated"), what
                assert [each.key for each in listing.problems] == damaged, what
                _compare(chance, sessions, expected, damaged, what)


def _compare(
    chance: random.Random,
    sessions: Sessions,
    expected: list[Summary],
    damaged: list[str],
    what: str,
) -> None:
    filters: list[tuple[dict[str, Any], Callable[[Any], bool]]] = [
        ({"user_id": "u1"}, lambda each: each.user_id == "u1"),
        ({"title": "t1"}, lambda each: each.title == "t1"),
        ({"project_id": "p1"}, lambda each: each.project_id == "p1"),
        ({"active_seed_id": "d1"}, lambda each: each.active_seed_id == "d1"),
        ({"last_phase": "f1"}, lambda each: each.last_phase == "f1"),
        ({"updated_before": NOON}, lambda each: each.updated_at < NOON),
        ({"updated_after": NOON}, lambda each: each.updated_at > NOON),
        ({"created_before": NOON}, lambda each: each.created_at < NOON),
        ({"created_after": NOON}, lambda each: each.created_at > NOON),
    ]
    for (wanted, fits), order in chance.sample([*product(filters, ORDERS)], 3):
        found: list[Summary] = []
        cursor = None
        while True:
            page = sessions.list(**wanted, order=order, limit=2, cursor=cursor)
            found += page.summaries
            assert [each.key for each in page.problems] == damaged, what
            if (cursor := page.cursor) is None:
                break
        shown = _in_order([each for each in expected if fits(each)], order)
        assert found == shown, f"{what}: {wanted} by {order}"
        assert sessions.count(**wanted) == len(shown), f"{what}: {wanted}"


def _in_order(summaries: list[Summary], order: str) -> list[Summary]:
    summaries = sorted(summaries, key=lambda each: each.id)
    return sorted(summaries, key=lambda each: getattr(each, ORDERS[order]), reverse=True)  # type: ignore[index]


def _read_all(store: StateStore) -> tuple[list[Summary], list[str]]:
    """Read all stored sessions; return them and the keys of those that cannot be read."""
    summaries: list[Summary] = []
    damaged: list[str] = []
    for key in sorted({entry.key for entry in store.scan("sessions")}):
        blob = store.get(key)
        if blob is None or not SESSION_HEADS.holds(key):
            continue
        try:
            summaries.append(SESSION_HEADS.read(key, blob).summary())
        except (CorruptDataError, UnsupportedError):
            damaged.append(key)
    return summaries, damaged


def _write(chance: random.Random, sessions: Sessions, plain: StateStore) -> str:
    """Do something at random to one of a few sessions, and return what was done."""
    session_id = f"s{chance.randrange(8)}"

    key = session_key(session_id)

    def new() -> Session:
        moment = NOON + timedelta(hours=chance.randrange(-2, 3))
        session = Session.new(f"u{chance.randrange(3)}", session_id)
        session.created_at, session.updated_at = moment, moment + timedelta(hours=1)
        session.active_seed_id = chance.choice([None, "d1", "d2"])
        session.metadata.update(title=f"t{chance.randrange(2)}", project_ids="p1")
        return session

    def change(session: Session) -> None:
        session.add_user_message("x" * chance.randrange(50))
        phase = chance.choice([None, "f1", "f2"])
        answer = AgentResponse(content="y", timestamp=NOON, phase_reached=phase)
        session.agent_responses.append(answer)
        session.updated_at = NOON + timedelta(hours=chance.randrange(-2, 3))

    def older() -> None:
        able = power(sessions.store, SupportsQuery)
        record: Record = {"v": 0, "id": "another", "updated_at": 5, "created_at": 5, "size": 5}
        if able is None:
            plain.put(key, new().to_json())
        else:
            able.put_record(key, new().to_json(), record, expect=ANY)

    actions: dict[str, Callable[[], object]] = {
        "an overwrite": lambda: sessions.save(new(), overwrite=True),
        "an update": lambda: sessions.update(session_id, change),
        "a turn": lambda: sessions.add_turn(session_id, user=["hi"], user_id=None),
        "a pin": lambda: sessions.pin(session_id),
        "an expiry": lambda: sessions.expire(session_id, NOON),
        "a deletion": lambda: sessions.delete(session_id),
        "a conversion": lambda: sessions.convert(
            session_id, chance.choice(["document", "journal"])
        ),
        "a plain put": lambda: plain.put(key, new().to_json()),
        "damage": lambda: plain.put(key, b"{"),
        "another session's file": lambda: plain.put(key, Session.new("u1", "s").to_json()),
        "a newer format": lambda: plain.put(key, b'{"statekeep":99}'),
        "a file that is no session": lambda: plain.put(f"sessions/{session_id}/x.md", b"x"),
        "an older record": older,
    }
    name = chance.choice([*actions, "an overwrite", "an overwrite", "an update", "an update"])
    try:
        actions[name]()
    except (NotFoundError, CorruptDataError, UnsupportedError):
        name = f"{name}, refused,"
    return f"{name} of {session_id}"
