"""Long-term memory of LangGraph: one journal for each item."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

from statekeep import NotFoundError, UnsupportedError
from statekeep.format.summary import EXPIRES, expires_at
from statekeep.timestamps import format_timestamp, parse_timestamp, utc_now
from statekeep_adapters._adapter import Adapter, framework

with framework("langgraph"):
    from langgraph.store.base import (
        BaseStore,
        GetOp,
        Item,
        ListNamespacesOp,
        MatchCondition,
        Op,
        PutOp,
        Result,
        SearchItem,
        SearchOp,
        TTLConfig,
        validate_op_namespace,
    )

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from statekeep import Journal, JournalSummary, Retention, StateStore
    from statekeep.events import Observer
    from statekeep.journals import Draft, Head

__all__ = ["StatekeepStore"]

COLLECTION: Final = "langgraph.store"

_OFTEN: Final = 100
"""A read extends an item's life only if that adds more than a hundredth of its time to live."""


class StatekeepStore(Adapter, BaseStore):
    """Items that graphs remember across threads, by namespace and key.

    Each item is a journal in the collection ``langgraph.store``. A batch first reads and then
    writes; each write is atomic, the batch is not. There is no semantic search.

    Args:
        store: The store for the items: a store, which stays open, or a URL, whose store is closed
            with this object.
        user_id: The user who owns new items; those of other users are refused, and searches do not
            find them.
        ttl: As in the stores of LangGraph: `default_ttl` in minutes and `refresh_on_read`. Expired
            items are never returned; the pruning strategy ``expired`` deletes them.
        collection: The collection of journals.
        retention: As in `statekeep.Journals`.
        observers: As in `statekeep.Journals`.

    Raises:
        OwnershipError: Raised when reading or writing an item: it belongs to another user.
        InvalidDocumentError: Raised when writing: JSON cannot hold a value, or it is larger than
            1 MiB.
        UnsupportedError: Raised by searches with a query.
        UnavailableError: Raised by every method: the store does not answer.
        ClosedError: Raised by every method after `close`.
    """

    supports_ttl = True

    def __init__(
        self,
        store: StateStore | str,
        *,
        user_id: str | None = None,
        ttl: TTLConfig | None = None,
        collection: str = COLLECTION,
        retention: Retention | None = None,
        observers: Iterable[Observer] = (),
    ) -> None:
        super().__init__(
            store, collection, user_id=user_id, retention=retention, observers=observers
        )
        self.ttl_config = ttl

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Execute operations: first all that read, then those that write.

        If several write the same item, the last one counts.
        """
        operations = [*ops]
        for op in operations:
            validate_op_namespace(op)
        results = [self._answer(op) for op in operations]
        puts = {_name(op.namespace, op.key): op for op in operations if isinstance(op, PutOp)}
        for name, op in puts.items():
            self._put(name, op)
        return results

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """See `batch`."""
        return await self._run(self.batch, ops)

    def _answer(self, op: Op) -> Result:
        match op:
            case GetOp():
                head = self._read(_name(op.namespace, op.key), refresh=op.refresh_ttl)
                return None if head is None else Item(**_fields(head))
            case SearchOp():
                return self._search(op)
            case ListNamespacesOp():
                return self._namespaces(op)
            case PutOp():
                return None
        raise TypeError(f"ops: each is an operation of langgraph.store.base, not {op!r}")

    def _read(self, name: tuple[str, ...], *, refresh: bool) -> Head | None:
        """Read an item, and extend its life, unless it has expired."""

        def read(journal: Journal) -> Head | None:
            head = journal.head()
            if head is None or "value" not in head.metadata:
                return None
            now, lives = utc_now(), head.metadata.get("ttl")
            if head.expires_at is not None and head.expires_at <= now:
                return None
            if refresh and lives and head.expires_at is not None:
                lives = timedelta(minutes=lives)
                if now + lives - head.expires_at > lives / _OFTEN:
                    with suppress(NotFoundError):  # just deleted
                        journal.expire(now + lives)
            return head

        return self._on(name, read)

    def _put(self, name: tuple[str, ...], op: PutOp) -> None:
        value = op.value
        if value is None:
            self._on(name, lambda journal: journal.delete())
            return

        def put(draft: Draft) -> None:
            now, metadata = utc_now(), draft.metadata
            end = expires_at(metadata)
            if "created_at" not in metadata or (end is not None and end <= now):
                metadata["created_at"] = format_timestamp(now)
            metadata["value"] = dict(value)
            for key in ("ttl", EXPIRES):
                metadata.pop(key, None)
            if op.ttl is not None:
                with suppress(OverflowError):  # beyond the year 9999, so it never expires
                    metadata[EXPIRES] = format_timestamp(now + timedelta(minutes=op.ttl))
                    metadata["ttl"] = op.ttl
            # Appending makes sure that the head is rewritten without the old value.
            draft.clear()
            draft.append([None])

        self._on(name, lambda journal: journal.change(put))

    def _search(self, op: SearchOp) -> list[SearchItem]:
        if op.query:
            raise UnsupportedError(
                "this store has no index for semantic search; search with a filter, or without a "
                "query"
            )
        names = [summary.name for summary in self._live(op.namespace_prefix)]
        end = op.offset + op.limit
        heads: dict[tuple[str, ...], Head] = {}
        if op.filter:
            heads = {
                head.name: head
                for namespace in {name[0] for name in names}
                for head in self._journals.heads(namespace)
            }
            wanted = op.filter.items()
            names = [
                name
                for name in names
                if name in heads
                and all(_fits(_value(heads[name]).get(key), value) for key, value in wanted)
            ]
        found = []
        for name in names[op.offset : end]:
            head = heads.get(name)
            if head is None or (op.refresh_ttl and "ttl" in head.metadata):
                head = self._read(name, refresh=op.refresh_ttl)
            found.append(head)
        return [SearchItem(**_fields(head)) for head in found if head is not None]

    def _namespaces(self, op: ListNamespacesOp) -> list[tuple[str, ...]]:
        found = {_namespace(summary.name) for summary in self._live(())}
        matching = {
            namespace[: op.max_depth]
            for namespace in found
            if all(_matches(condition, namespace) for condition in op.match_conditions or ())
        }
        return sorted(matching)[op.offset : op.offset + op.limit]

    def _live(self, prefix: tuple[str, ...]) -> Sequence[JournalSummary]:
        """Return the items below a namespace that have not expired, last changed first."""
        now = utc_now()
        return [
            summary
            for summary in self._journals.list()
            if len(summary.name) == 2
            and _namespace(summary.name)[: len(prefix)] == prefix
            and self._user_id in {None, summary.user_id}
            and (summary.expires_at is None or summary.expires_at > now)
        ]


def _name(namespace: tuple[str, ...], key: str) -> tuple[str, str]:
    return "/".join([quote(label, safe="", errors="surrogatepass") for label in namespace]), key


def _namespace(name: tuple[str, ...]) -> tuple[str, ...]:
    labels = name[0].split("/") if name[0] else []
    return tuple([unquote(label, errors="surrogatepass") for label in labels])


def _value(head: Head) -> dict[str, Any]:
    value: dict[str, Any] = head.metadata.get("value", {})
    return value


def _fields(head: Head) -> dict[str, Any]:
    return {
        "namespace": _namespace(head.name),
        "key": head.name[1],
        "value": _value(head),
        "created_at": parse_timestamp(head.metadata["created_at"]),
        "updated_at": head.updated_at,
    }


def _matches(condition: MatchCondition, namespace: tuple[str, ...]) -> bool:
    path = condition.path
    if len(path) > len(namespace):
        return False
    labels = namespace[: len(path)]
    if condition.match_type == "suffix":
        labels = namespace[len(namespace) - len(path) :]
    return all(wanted in {"*", label} for wanted, label in zip(path, labels, strict=True))


def _fits(value: Any, wanted: Any) -> bool:  # noqa: ANN401
    """Return whether a value matches a filter, compared as the stores of LangGraph do."""
    if isinstance(wanted, dict):
        if any(key.startswith("$") for key in wanted):
            return all(_holds(value, operator, other) for operator, other in wanted.items())
        return isinstance(value, dict) and all(_fits(value.get(k), v) for k, v in wanted.items())
    if isinstance(wanted, (list, tuple)):
        return (
            isinstance(value, (list, tuple))
            and len(value) == len(wanted)
            and all(map(_fits, value, wanted))
        )
    return bool(value == wanted)


def _holds(value: Any, operator: str, other: Any) -> bool:  # noqa: ANN401
    match operator:
        case "$eq":
            return bool(value == other)
        case "$ne":
            return bool(value != other)
        case "$gt" | "$gte" | "$lt" | "$lte":
            try:
                ours, theirs = float(value), float(other)
            except (TypeError, ValueError):
                return False  # cannot be compared
            equal = ours == theirs and operator.endswith("e")
            return equal or (ours > theirs if "g" in operator else ours < theirs)
    raise ValueError(f"filter: $eq, $ne, $gt, $gte, $lt or $lte, not {operator!r}")
