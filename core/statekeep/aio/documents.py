"""`Documents` and `Blobs` for programs with an event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from statekeep._arguments import checked
from statekeep.aio.twins import Twin, hop
from statekeep.documents.blobs import Blobs
from statekeep.documents.documents import Document, Documents

if TYPE_CHECKING:
    from collections.abc import Iterable

    from statekeep.format.json import RepairText
    from statekeep.observe.events import Observer
    from statekeep.store.protocol import StateStore

__all__ = ["AsyncBlobs", "AsyncDocuments"]

T = TypeVar("T")


class AsyncDocuments(Twin[Documents]):
    """`Documents` for programs with an event loop: the same methods, to be awaited.

    Threads, cancellation and closing work as in `AsyncSessions`.

    Args:
        store: As in `Documents`.
        observers: As in `Documents`.
        workers: How many operations run at once; further ones wait.

    Raises:
        ValueError: `workers` is less than 1.
    """

    @checked
    def __init__(
        self,
        store: StateStore,
        *,
        observers: Iterable[Observer] = (),
        workers: int = 16,
    ) -> None:
        super().__init__(Documents(store, observers=observers), workers)

    save_json = hop(Documents.save_json)

    # A decorator cannot preserve the overloads.
    @overload
    async def load_json(
        self, category: str, name: str, *, repair_text: RepairText = ...
    ) -> Document[Any] | None: ...
    @overload
    async def load_json(
        self, category: str, name: str, *, type: type[T], repair_text: RepairText = ...
    ) -> Document[T] | None: ...
    @overload
    async def load_json(
        self,
        category: str,
        name: str,
        *,
        type: Any,  # noqa: ANN401
        repair_text: RepairText = ...,
    ) -> Document[Any] | None: ...
    async def load_json(
        self,
        category: str,
        name: str,
        *,
        type: Any = None,  # noqa: A002
        repair_text: RepairText = "refuse",
    ) -> Document[Any] | None:
        """See `Documents.load_json`."""
        return await self._run(
            self._sync.load_json, category, name, type=type, repair_text=repair_text
        )

    save_markdown = hop(Documents.save_markdown)
    load_markdown = hop(Documents.load_markdown)
    update = hop(Documents.update)
    list = hop(Documents.list)
    delete = hop(Documents.delete)


class AsyncBlobs(Twin[Blobs]):
    """`Blobs` for programs with an event loop: the same methods, to be awaited.

    Threads, cancellation and closing work as in `AsyncSessions`.

    Args:
        store: As in `Blobs`.
        collection: As in `Blobs`.
        observers: As in `Blobs`.
        workers: How many operations run at once; further ones wait.

    Raises:
        InvalidKeyError: As in `Blobs`.
        ValueError: `workers` is less than 1.
    """

    @checked
    def __init__(
        self,
        store: StateStore,
        collection: str,
        *,
        observers: Iterable[Observer] = (),
        workers: int = 16,
    ) -> None:
        super().__init__(Blobs(store, collection, observers=observers), workers)

    @property
    def collection(self) -> str:
        """The collection's name."""
        return self._sync.collection

    put = hop(Blobs.put)
    get = hop(Blobs.get)
    list = hop(Blobs.list)
    delete = hop(Blobs.delete)
    delete_below = hop(Blobs.delete_below)
