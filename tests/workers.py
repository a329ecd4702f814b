"""What tests run in processes of their own."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from statekeep import Session, Sessions, open_store


def update_often(location: str, worker: int, times: int) -> None:
    with open_store(location) as store:
        sessions = Sessions(store)
        for n in range(times):
            text = f"{worker}-{n}"
            add = partial(Session.add_user_message, content=text)
            sessions.update("s", add, timeout=timedelta(minutes=3))


def create_one(location: str, session_id: str) -> str:
    with open_store(location) as store:
        return str(Sessions(store).get_or_create("ada", session_id).created_at)


def save_for_ever(location: str, acknowledged: str) -> None:
    """Save a growing session until killed; note each save that was acknowledged."""
    with open_store(location) as store, open(acknowledged, "a", buffering=1) as notes:  # noqa: PTH123
        sessions = Sessions(store)
        session = sessions.get_or_create("ada", "s")
        while True:
            session.add_user_message("x" * 2000)
            sessions.save(session)
            notes.write(f"{len(session.user_messages)}\n")
