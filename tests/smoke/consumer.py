"""A program of somebody who installed the wheel; run there, and checked by a strict mypy."""

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from pydantic import BaseModel

from statekeep import (
    ABSENT,
    AsyncSessions,
    ConflictError,
    Documents,
    Session,
    Sessions,
    StateStore,
    load_pruner,
    open_store,
)

if TYPE_CHECKING:
    from statekeep.documents import Document


class Limits(BaseModel):
    tokens: int


def use(store: StateStore) -> int:
    sessions = Sessions(store)
    session: Session = sessions.get_or_create("ada", "s")
    session.add_user_message("hello")
    sessions.save(session)
    sessions.update("s", lambda latest: latest.set_metadata("n", 1))
    plan = sessions.plan_prune(load_pruner("ttl"), min_idle=timedelta(hours=1))
    assert plan.victims == ()

    documents = Documents(store)
    version = documents.save_json("specs", "limits", Limits(tokens=5), expect=ABSENT)
    loaded: Document[Limits] | None = documents.load_json("specs", "limits", type=Limits)
    assert loaded is not None
    assert loaded.version == version
    try:
        documents.save_json("specs", "limits", Limits(tokens=6), expect=ABSENT)
    except ConflictError as error:
        print(error)
    return loaded.value.tokens


async def use_async() -> int:
    async with AsyncSessions.open("memory:") as sessions:
        session: Session = await sessions.get_or_create("ada", "s")
        session.add_user_message("hello")
        await sessions.save(session)
        return sum(summary.message_count for summary in await sessions.list(user_id="ada"))


assert asyncio.run(use_async()) == 1
with open_store("memory:") as memory:
    assert use(memory) == 5
with open_store("./state", durability="rename") as folder:
    assert use(folder) == 5
