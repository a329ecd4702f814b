"""What tests run in processes of their own."""

from __future__ import annotations

from statekeep import Sessions, open_store


def save_for_ever(location: str, acknowledged: str) -> None:
    """Save a growing session until killed; note each save that was acknowledged."""
    with open_store(location) as store, open(acknowledged, "a", buffering=1) as notes:  # noqa: PTH123
        sessions = Sessions(store)
        session = sessions.get_or_create("ada", "s")
        while True:
            session.add_user_message("x" * 2000)
            sessions.save(session)
            notes.write(f"{len(session.user_messages)}\n")
