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
