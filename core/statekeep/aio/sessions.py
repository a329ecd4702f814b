"""`Sessions` for programs with an event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from statekeep._arguments import checked
from statekeep.aio.twins import ClosingTwin, Twin, hop
from statekeep.config.opening import settings_for
from statekeep.sessions.sessions import Sessions

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from statekeep.config.settings import Settings
    from statekeep.observe.events import Observer
    from statekeep.retention.types import Retention
    from statekeep.sessions.repository import Form
    from statekeep.store.protocol import StateStore
    from statekeep.store.transfer import ConflictPolicy

__all__ = ["AsyncSessions"]


class AsyncSessions(ClosingTwin[Sessions]):
    """`Sessions` for programs with an event loop: the same methods, to be awaited.

    Each call runs as a whole in one of the object's own threads, with the caller's context
    variables. So do the functions passed to it (the `change` of `update`, the `progress` of
    `prune`) and the observers. They are plain functions and must not touch the loop.

    A cancelled call ends at once for the caller. If it was still waiting for a thread, it never
    runs. If it was running, it goes on and may still be stored: load the session again before
    changing it further. `close` waits for such calls, and refuses those that wait for a thread.

    It can be used from several event loops. `close` it, or use it as an asynchronous context
    manager. Closing it does not close a store that was passed to it; only `open` opens a store that
    it also closes.

    Args:
        store: As in `Sessions`.
        form: As in `Sessions`.
        conflicts: As in `Sessions`.
        observers: As in `Sessions`.
        retention: As in `Sessions`.
        journal_retention: As in `Sessions`.
        workers: How many operations run at once; further ones wait.

    Raises:
        UnsupportedError: As in `Sessions`.
        ValueError: `workers` is less than 1.

    Examples:
        >>> import asyncio
        >>> from statekeep import AsyncSessions, open_store
        >>> async def main() -> int:
        ...     with open_store("memory:") as store:
        ...         async with AsyncSessions(store) as sessions:
        ...             session = await sessions.get_or_create("ada", "plan")
        ...             session.add_user_message("Hello")
        ...             await sessions.save(session)
        ...             return len(await sessions.list(user_id="ada"))
        >>> asyncio.run(main())
        1
    """

    @checked
    def __init__(
        self,
        store: StateStore,
        *,
        form: Form = "document",
        conflicts: ConflictPolicy = "detect",
        observers: Iterable[Observer] = (),
        retention: Retention | None = None,
        journal_retention: Mapping[str, Retention | None] | None = None,
        workers: int = 16,
    ) -> None:
        sync = Sessions(
            store,
            form=form,
            conflicts=conflicts,
            observers=observers,
            retention=retention,
            journal_retention=journal_retention,
        )
        super().__init__(sync, workers)

    @classmethod
    def open(cls, config: str | os.PathLike[str] | Settings | None = None) -> Self:
        """Open what the deployment configured; use it as a context manager, or close it.

        It works like `Sessions.open`. It reads the configuration and imports the backend, so call
        it when the program starts. It makes no connection before the first use.

        Args:
            config: As in `Sessions.open`.

        Raises:
            ConfigError, PluginError, UnsupportedError: As in `Sessions.open`.

        Examples:
            >>> import asyncio
            >>> async def main() -> None:
            ...     async with AsyncSessions.open("memory:") as sessions:
            ...         print(len(await sessions.list()))
            >>> asyncio.run(main())
            0
        """
        settings = settings_for(config)
        made = cls.__new__(cls)
        Twin.__init__(made, Sessions.open(settings), settings.async_workers)
        return made

    load = hop(Sessions.load)
    save = hop(Sessions.save)
    append = hop(Sessions.append)
    add_turn = hop(Sessions.add_turn)
    tail = hop(Sessions.tail)
    rewind = hop(Sessions.rewind)
    convert = hop(Sessions.convert)
    update = hop(Sessions.update)
    get_or_create = hop(Sessions.get_or_create)
    delete = hop(Sessions.delete)
    restore = hop(Sessions.restore)
    list_trash = hop(Sessions.list_trash)
    empty_trash = hop(Sessions.empty_trash)
    list = hop(Sessions.list)
    count = hop(Sessions.count)
    expire = hop(Sessions.expire)
    pin = hop(Sessions.pin)
    unpin = hop(Sessions.unpin)
    plan_prune = hop(Sessions.plan_prune)
    prune = hop(Sessions.prune)
