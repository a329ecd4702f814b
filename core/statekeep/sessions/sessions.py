"""Sessions over any store: versions, conflicts, owners, listings, pruning."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, Self, TypeVar, cast, overload

from statekeep._arguments import checked
from statekeep.errors import ConflictError, NotFoundError
from statekeep.format.session import AgentResponse, Session, UserMessage, keep_messages
from statekeep.format.summary import EXPIRES, PIN, SessionSummary
from statekeep.heads.collection import SESSION_HEADS
from statekeep.heads.pages import Listing, page
from statekeep.heads.queries import heads_of
from statekeep.observe.emitter import Emitter
from statekeep.observe.events import (
    ConflictDetected,
    ConflictRetried,
    Observer,
    SessionDeleted,
    SessionRestored,
    SessionSaved,
)
from statekeep.retention.background import BackgroundPruner
from statekeep.retention.pruner import Pruner, purging
from statekeep.retention.trash import Trashed, is_of_session, list_trash
from statekeep.retention.types import PrunePlan, PruneRequest
from statekeep.sessions.repository import Added, Form, SessionRepository
from statekeep.store.keys import session_key
from statekeep.store.query import Filter, Order
from statekeep.store.retrying import apply, retry_on_conflict
from statekeep.store.transfer import ConflictPolicy, Transfer, refuse_unconditional
from statekeep.timestamps import format_timestamp, to_utc, utc_now

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

    from statekeep.config.settings import Settings
    from statekeep.format.json import RepairText
    from statekeep.retention.copies import Copy
    from statekeep.retention.types import PruneReport, PruningStrategy, Retention
    from statekeep.store.protocol import StateStore, Version

__all__ = ["Sessions"]

T = TypeVar("T")

_logger = logging.getLogger(__name__)

_TIMEOUT = timedelta(seconds=30)


class Sessions:
    """The sessions of a store.

    Safe under threads. A store that it is given it does not close; `open` opens one that it does.

    Args:
        store: Where they lie.
        form: How new sessions are stored: ``"document"``, whole, as the original reads them; or
            ``"journal"``, so that a turn costs the turn however long the session is. Stored ones
            keep theirs; see `convert`.
        conflicts: ``"detect"`` (nothing is ever overwritten unseen) or ``"last-writer-wins"``,
            the only choice on a store without conditional writes.
        observers: Told of what happens, after the fact, in the thread in which it happens.
        retention: Lets saves trigger pruning in the background; without it nothing is ever pruned
            unasked. Then close the sessions, or use them as a context manager.
        journal_retention: How the journals of collections are pruned, by collection, each by
            itself; saves of sessions trigger that as well. None for a collection that is pruned
            only when somebody asks for it. No other prune deletes what such a collection has in
            the trash.

    Raises:
        UnsupportedError: Conflicts are to be detected on a store that cannot.
        ClosedError: By every method, after `close`.

    Examples:
        >>> from statekeep import Sessions, open_store
        >>> with open_store("memory:") as store:
        ...     sessions = Sessions(store)
        ...     session = sessions.get_or_create("ada", "plan")
        ...     _ = session.add_user_message("Hello")
        ...     _ = sessions.save(session)
        ...     sessions.list(user_id="ada").summaries[0].message_count
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
    ) -> None:
        refuse_unconditional(store, conflicts)
        apart = {**(journal_retention or {})}
        if retention is not None and (twice := sorted(retention.collections & apart.keys())):
            raise ValueError(f"retention and journal_retention both prune {twice[0]!r}")
        self._store = store
        self._owns_store = False
        self._emitter = Emitter(store, observers, "Sessions")
        self._transfer = Transfer(store, conflicts)
        self._repository = SessionRepository(self._transfer, form)
        self._heads = heads_of(store, SESSION_HEADS, self._emitter)
        self._purges = purging(None, apart)
        self._pruner = Pruner([self._heads], self._transfer, self._emitter, self._purges)
        self._background: BackgroundPruner | None = None
        if retention is not None:
            self._background = BackgroundPruner(
                retention, self._transfer, self._pruner_of(retention), self._emitter
            )
        self._of_journals = [
            self._background_of(name, each, purging(name, apart))
            for name, each in apart.items()
            if each is not None
        ]

    @classmethod
    def open(cls, config: str | os.PathLike[str] | Settings | None = None) -> Self:
        """Open what a deployment configured; use it as a context manager, or close it.

        No connection is made, and nothing is created, before the first use.

        Args:
            config: Settings, or another store than the configured one: a folder or a URL. Without
                it: what the environment and the files configure.

        Raises:
            ConfigError, PluginError: As `statekeep.open_store`.
            UnsupportedError: The store cannot detect conflicts, and nothing else was configured.

        Examples:
            >>> sessions = Sessions.open("memory:")
            >>> sessions.get_or_create("ada", "plan").id
            'plan'
            >>> sessions.close()
        """
        from statekeep.config import opening  # noqa: PLC0415 - it is above

        settings = opening.settings_for(config)
        store, chosen = opening.open_configured(settings)
        try:
            sessions = cls(store, form=settings.form, **chosen)
        except BaseException:
            store.close()
            raise
        sessions._owns_store = True
        return sessions

    @checked
    def close(self, timeout: timedelta = _TIMEOUT) -> None:
        """End background pruning, and close the store if `open` opened it.

        Closing twice is fine. Whatever else is called afterwards raises `ClosedError`.

        Args:
            timeout: How long to wait for a prune that runs; then it ends after the session that
                it is at.
        """
        deadline = time.monotonic() + timeout.total_seconds()
        for each in filter(None, [self._background, *self._of_journals]):
            left = timedelta(seconds=max(0.0, deadline - time.monotonic()))
            if not each.close(left):
                _logger.warning("a prune of %s was cut short after %s", self._store, timeout)
        self._emitter.close()
        if self._owns_store:
            self._store.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._store})"

    def __enter__(self) -> Self:
        self._emitter.refuse_closed("__enter__")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def store(self) -> StateStore:
        """The store below."""
        return self._store

    @overload
    def load(
        self,
        session_id: str,
        *,
        user_id: str | None = None,
        required: Literal[True],
        repair_text: RepairText = "refuse",
    ) -> Session: ...
    @overload
    def load(
        self,
        session_id: str,
        *,
        user_id: str | None = None,
        required: bool = False,
        repair_text: RepairText = "refuse",
    ) -> Session | None: ...
    @checked
    def load(
        self,
        session_id: str,
        *,
        user_id: str | None = None,
        required: bool = False,
        repair_text: RepairText = "refuse",
    ) -> Session | None:
        """Read a session.

        Args:
            session_id: Which.
            user_id: If given, whom it must belong to.
            required: Whether it is an error if there is none.
            repair_text: ``"replace"`` to read U+FFFD where another program wrote text that UTF-8
                cannot hold.

        Returns:
            The session, or None if there is none. It remembers its version for `save`.

        Raises:
            NotFoundError: There is none, and it is required.
            OwnershipError: It belongs to another user.
            CorruptDataError: What lies there is not this session.
            UnsupportedError: A newer version of statekeep wrote it.
            InvalidKeyError: The id is not legal.
        """
        with self._emitter.operation("load", session_id):
            session = self._repository.load(session_id, user_id, repair_text)
            if session is None and required:
                raise NotFoundError(
                    "no such session", key=session_key(session_id), store=self._store
                )
            return session

    @checked
    def save(self, session: Session, *, overwrite: bool = False) -> Version:
        """Store a session, if it is still as it was loaded.

        Args:
            session: A new one must not exist yet; a loaded one must not have changed since.
            overwrite: Store it whatever is there, even a corrupt document; only another session
                (on a volume that takes two ids for one) is skipped.

        Returns:
            The new version; the session remembers it.

        Raises:
            ConflictError: It was saved or deleted by someone else meanwhile, or a new session's
                id is taken; nothing was changed. See `update`.
            UnsupportedError: A newer version of statekeep wrote what lies there.
            InvalidDocumentError: It holds something that cannot be stored; nothing was changed.
            InvalidKeyError: The id is not legal.
        """
        with self._emitter.operation("save", session.id):
            version, created = self._telling(
                lambda: self._repository.save(session, overwrite=overwrite)
            )
            self._saved(session.id, session.user_id, version, created=created)
            return version

    @checked
    def append(self, session: Session) -> Version:
        """Store what was added to a session, and what was changed besides its messages.

        As `save`, but it never changes a message that is stored. `save` does the same where it
        can, and otherwise replaces all.

        Args:
            session: A new one, or one that has not changed in the store since it was loaded.

        Returns:
            The new version; the session remembers it.

        Raises:
            ValueError: A message that is stored was changed or taken out; nothing was changed.
            ConflictError, UnsupportedError, InvalidDocumentError, InvalidKeyError: As `save`.
        """
        with self._emitter.operation("append", session.id):
            version, created = self._telling(
                lambda: self._repository.save(session, overwrite=False, append=True)
            )
            self._saved(session.id, session.user_id, version, created=created)
            return version

    @checked
    def add_turn(
        self,
        session_id: str,
        *,
        user: Iterable[str | UserMessage] = (),
        agent: Iterable[str | AgentResponse] = (),
        user_id: str | None = None,
        key: str | None = None,
        timeout: timedelta = _TIMEOUT,
    ) -> SessionSummary:
        """Add what was said to a session, without loading it if it is stored as a journal.

        Args:
            session_id: Which.
            user: What the user said: texts, or messages.
            agent: What the agent answered, after that.
            user_id: Whom it must belong to; and for whom it is made if there is none.
            key: What was added under this key is not added again; of journals only.
            timeout: How long to go on after conflicts.

        Returns:
            What a listing says of the session then.

        Raises:
            NotFoundError: There is no such session, and no user is given to make it for.
            OwnershipError: It belongs to another user.
            UnsupportedError: A key is given, and the session is stored whole.
            ConflictError: Others came between until the timeout; nothing was added.
            InvalidDocumentError: Something cannot be stored.

        Examples:
            >>> from statekeep import Sessions, open_store
            >>> sessions = Sessions(open_store("memory:"), form="journal")
            >>> _ = sessions.add_turn("plan", user=["Hello"], agent=["Hi"], user_id="ada")
            >>> [message.content for message in sessions.tail("plan", last=1)]
            ['Hi']
        """
        now = utc_now()
        said: list[UserMessage | AgentResponse] = [
            UserMessage(content=each, timestamp=now) if isinstance(each, str) else each
            for each in user
        ]
        said += [
            AgentResponse(content=each, timestamp=now) if isinstance(each, str) else each
            for each in agent
        ]

        def attempt() -> Added:
            return self._telling(lambda: self._repository.add_turn(session_id, said, user_id, key))

        with self._emitter.operation("add_turn", session_id):
            added = retry_on_conflict(attempt, timeout, self._retry)
            if added.version is not None:
                self._saved(session_id, added.summary.user_id, added.version, created=added.created)
            return added.summary

    @checked
    def tail(
        self, session_id: str, *, last: int = 20, user_id: str | None = None
    ) -> Sequence[UserMessage | AgentResponse] | None:
        """Read the last messages of a session; of a journal not the others.

        Args:
            session_id: Which.
            last: So many.
            user_id: If given, whom it must belong to.

        Returns:
            The messages in their order; None if there is no such session.

        Raises:
            OwnershipError, CorruptDataError, UnsupportedError, InvalidKeyError: As `load`.
            ValueError: `last` is negative.
        """
        if last < 0:
            raise ValueError(f"last must not be negative, and it is {last}")
        with self._emitter.operation("tail", session_id):
            wanted = slice(-last, None) if last else slice(0)
            part = self._repository.part(session_id, user_id, wanted)
            return None if part is None else part.messages

    @checked
    def rewind(self, session_id: str, *, messages: int, user_id: str | None = None) -> Session:
        """Take back what was said last.

        Args:
            session_id: Which.
            messages: How many to keep, the first.
            user_id: If given, whom it must belong to.

        Returns:
            The session as stored.

        Raises:
            NotFoundError: There is no such session.
            ValueError: The number is negative.
            OwnershipError, CorruptDataError, InvalidKeyError: As `load` and `save`.
        """
        if messages < 0:
            raise ValueError(f"messages must not be negative, and it is {messages}")

        with self._emitter.operation("rewind", session_id):
            return self.update(
                session_id, lambda session: keep_messages(session, messages), user_id=user_id
            )

    @checked
    def convert(self, session_id: str, form: Form) -> bool:
        """Store a session in another form; it stays the same session.

        The original cannot read a session that is stored as a journal, and a save of the original
        would destroy it.

        Args:
            session_id: Which.
            form: ``"document"`` or ``"journal"``.

        Returns:
            Whether it was in another form.

        Raises:
            NotFoundError: There is no such session.
            ConflictError: Others came between for half a minute; nothing was changed.
            InvalidDocumentError: It holds something that cannot be stored so.
            CorruptDataError, UnsupportedError, InvalidKeyError: As `load`.
        """

        def attempt() -> Session | None:
            return self._telling(lambda: self._repository.convert(session_id, form))

        with self._emitter.operation("convert", session_id):
            session = retry_on_conflict(attempt, _TIMEOUT, self._retry)
            if session is None:
                return False
            version = cast("Version", session.version)
            self._saved(session_id, session.user_id, version, created=False)
            return True

    @checked
    def update(
        self,
        session_id: str,
        change: Callable[[Session], object],
        *,
        user_id: str | None = None,
        timeout: timedelta = _TIMEOUT,
    ) -> Session:
        """Load, change and save, again and again until nobody came between.

        Unlike that of `Documents.update`, the function changes what it is given: a session is an
        object that remembers its version.

        Args:
            session_id: Which.
            change: Changes the session in place; it may be called several times. What it returns
                does not matter.
            user_id: If given, whom it must belong to.
            timeout: How long to go on after conflicts.

        Returns:
            The session as stored.

        Raises:
            NotFoundError: There is no such session.
            ConflictError: Someone came between until the timeout; this change was not stored.
            OwnershipError, CorruptDataError, InvalidDocumentError, InvalidKeyError: As `load`
                and `save`.
        """

        def attempt() -> Session:
            session = self.load(session_id, user_id=user_id, required=True)
            result = apply(change, session)
            if isinstance(result, Session) and result is not session:
                raise TypeError("the change gave another session; change the given one in place")
            self.save(session)
            return session

        with self._emitter.operation("update", session_id):
            return retry_on_conflict(attempt, timeout, self._retry)

    @checked
    def get_or_create(self, user_id: str, session_id: str | None = None) -> Session:
        """Give the session of that id, made and stored if there was none.

        Of several that race one creates it, and all get the same; where conflicts are not
        detected, only on a store that can create without replacing.

        Args:
            user_id: Whom it belongs to.
            session_id: Which; without one, a new session with a random id.

        Raises:
            OwnershipError: The id belongs to another user.
            CorruptDataError, InvalidKeyError: As `load`.
        """

        def attempt() -> Session:
            if session_id is not None:
                existing = self.load(session_id, user_id=user_id)
                if existing is not None:
                    return existing
            session = Session.new(user_id, session_id)
            self.save(session)
            return session

        with self._emitter.operation("get_or_create", session_id):
            return retry_on_conflict(attempt, _TIMEOUT, self._retry)

    @checked
    def delete(self, session_id: str, *, user_id: str | None = None, trash: bool = False) -> bool:
        """Delete a session.

        Args:
            session_id: Which.
            user_id: If given, whom it must belong to.
            trash: Leave a copy in the trash; see `restore`.

        Returns:
            Whether there was one.

        Raises:
            OwnershipError: It belongs to another user.
            CorruptDataError: What lies there is not this session; it is left alone.
            InvalidKeyError: The id is not legal.
        """

        def attempt() -> bool:
            return self._telling(lambda: self._repository.delete(session_id, user_id, trash=trash))

        with self._emitter.operation("delete", session_id):
            deleted = retry_on_conflict(attempt, _TIMEOUT, self._retry)
            if deleted:
                self._emitter.emit(SessionDeleted, session_id, pruned=False, trashed=trash)
            return deleted

    @checked
    def restore(self, session_id: str, *, copy: str | None = None) -> Session:
        """Put back the newest state of a session that is in the trash.

        That is the one with the greatest `updated_at`, whichever came into the trash last. The
        session keeps its `updated_at`, so a strategy that went by that chooses it again; pin it,
        or change it. Its metadata says that it was restored (``statekeep.restored``). The copy
        stays in the trash for an hour, or until the trash is emptied.

        Args:
            session_id: Which; or what `Trashed.stem` says.
            copy: The `Trashed.key` of the copy to take instead.

        Returns:
            The session as stored.

        Raises:
            NotFoundError: There is no copy.
            ConflictError: There is a session of this id; nothing was changed.
            CorruptDataError: The copy is not this session; it stays in the trash.
            InvalidKeyError: The id is not legal.
        """
        with self._emitter.operation("restore", session_id):
            session = self._repository.restore(session_id, copy)
            version = cast("Version", session.version)
            self._emitter.emit(SessionRestored, session.id, session.user_id, version)
            return session

    @checked
    def list_trash(self, *, user_id: str | None = None) -> Sequence[Trashed]:
        """List the sessions in the trash, the newest first. Reads every copy.

        Args:
            user_id: Only those of this user; what cannot be read is nobody's.
        """
        with self._emitter.operation("list_trash"):
            return list_trash(self._store, is_of_session, user_id)

    @checked
    def empty_trash(
        self, *, older_than: timedelta = timedelta(0), user_id: str | None = None
    ) -> int:
        """Delete for good the sessions in the trash.

        Args:
            older_than: Only what has been there for so long, by the store's clock.
            user_id: Only what belongs to this user; then the copies are read.

        Returns:
            How many copies were deleted.
        """
        with self._emitter.operation("empty_trash"):
            return self._pruner.empty_trash(older_than, is_of_session, user_id)

    @checked
    def list(
        self,
        *,
        user_id: str | None = None,
        project_id: str | None = None,
        active_seed_id: str | None = None,
        last_phase: str | None = None,
        title: str | None = None,
        updated_before: datetime | None = None,
        updated_after: datetime | None = None,
        created_before: datetime | None = None,
        created_after: datetime | None = None,
        order: Order = "updated",
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Listing[SessionSummary]:
        """List sessions, newest `updated_at` first unless asked otherwise, ties by id.

        A session that is updated between two pages moves to the front and may be missed by the
        second. A document that should be a session and cannot be read is in `Listing.problems`,
        and logged once.

        Args:
            user_id: Only this user's.
            project_id: Only this project's.
            active_seed_id: Only those with this seed in work.
            last_phase: Only those whose last response reached this phase.
            title: Only those with this title, the metadata value ``title``.
            updated_before: Only those updated before; aware.
            updated_after: Only those updated after; aware.
            created_before: Only those created before; aware.
            created_after: Only those created after; aware.
            order: ``"created"`` for the newest `created_at` first, ``"size"`` for the largest.
            limit: At most so many; None for all.
            cursor: Where the last page ended: its `Listing.cursor`.

        Returns:
            The page, the problems and the cursor of the next page.

        Raises:
            InvalidKeyError: The cursor is not one of a listing in this order.
            ValueError: A time is naive, or the limit is not positive.
        """
        wanted = Filter(
            user_id=user_id,
            project_id=project_id,
            active_seed_id=active_seed_id,
            last_phase=last_phase,
            title=title,
            updated_before=updated_before,
            updated_after=updated_after,
            created_before=created_before,
            created_after=created_after,
        )
        with self._emitter.operation("list"):
            return page(
                [self._heads], wanted, SessionSummary, order=order, limit=limit, cursor=cursor
            )

    @checked
    def count(
        self,
        *,
        user_id: str | None = None,
        project_id: str | None = None,
        active_seed_id: str | None = None,
        last_phase: str | None = None,
        title: str | None = None,
        updated_before: datetime | None = None,
        updated_after: datetime | None = None,
        created_before: datetime | None = None,
        created_after: datetime | None = None,
    ) -> int:
        """Count the sessions that `list` would show with these filters.

        Raises:
            ValueError: A time is naive.
        """
        wanted = Filter(
            user_id=user_id,
            project_id=project_id,
            active_seed_id=active_seed_id,
            last_phase=last_phase,
            title=title,
            updated_before=updated_before,
            updated_after=updated_after,
            created_before=created_before,
            created_after=created_after,
        )
        with self._emitter.operation("count"):
            return self._heads.count(wanted, None)

    @checked
    def pin(self, session_id: str, until: datetime | None = None) -> Session:
        """Protect a session from pruning; `updated_at` stays.

        Args:
            session_id: Which.
            until: When the protection ends, aware; None for never.

        Returns:
            The session as stored.

        Raises:
            NotFoundError: There is no such session.
            ValueError: The time is naive.
        """
        pin = True if until is None else format_timestamp(until)
        with self._emitter.operation("pin", session_id):
            return self.update(session_id, lambda session: session.metadata.update({PIN: pin}))

    @checked
    def unpin(self, session_id: str) -> Session:
        """End the protection of `pin`; `updated_at` stays.

        Returns:
            The session as stored.

        Raises:
            NotFoundError: There is no such session.
        """
        with self._emitter.operation("unpin", session_id):
            return self.update(session_id, lambda session: session.metadata.pop(PIN, None))

    @checked
    def expire(self, session_id: str, at: datetime | None) -> Session:
        """Say when a session may go, for the strategy ``expired``; `updated_at` stays.

        Args:
            session_id: Which.
            at: When, aware; None for never.

        Returns:
            The session as stored.

        Raises:
            NotFoundError: There is no such session.
            ValueError: The time is naive.
        """

        def change(session: Session) -> None:
            if at is None:
                session.metadata.pop(EXPIRES, None)
            else:
                session.metadata[EXPIRES] = format_timestamp(at)

        with self._emitter.operation("expire", session_id):
            return self.update(session_id, change)

    @checked
    def plan_prune(
        self,
        strategy: PruningStrategy,
        *,
        now: datetime | None = None,
        protect: Iterable[str] = (),
        min_idle: timedelta = timedelta(0),
    ) -> PrunePlan:
        """Say what a prune would delete, and why. Changes nothing.

        Args:
            strategy: Decides; see `statekeep.load_pruner`.
            now: The present as the strategy shall see it, aware; by default this machine's.
            protect: Ids that it must not see, besides the pinned ones.
            min_idle: Sessions changed within this time it must not see either.

        Raises:
            PluginError: The strategy failed, or chose what it was not shown.
            ValueError: The present is naive, or the idle time negative.
        """
        present = utc_now() if now is None else to_utc(now)
        request = PruneRequest(strategy, frozenset(protect), min_idle)
        with self._emitter.operation("plan_prune"):
            return self._pruner.plan(request, now=present)

    @checked
    def prune(
        self,
        plan: PrunePlan | PruningStrategy,
        *,
        now: datetime | None = None,
        protect: Iterable[str] = (),
        min_idle: timedelta = timedelta(0),
        trash: timedelta | None = None,
        trust_clock: bool = False,
        progress: Callable[[int], object] | None = None,
    ) -> PruneReport:
        """Delete what a plan names, each session only if it is still the one that was seen.

        It goes by the store's clock: it writes a stamp, takes the date that the store gave it for
        the present, and plans anew if the plan's time is more than a minute off. A plan that was
        given is only narrowed: victims that are not chosen then are skipped. Where the store's
        clock is the machine's (memory, a disk) or none (plain fsspec), that changes nothing.

        Leftovers of killed writers that are older than an hour are removed as well.

        Args:
            plan: A plan, or a strategy to make one from.
            now: As in `plan_prune`; only together with a strategy and `trust_clock`.
            protect: As in `plan_prune`; only together with a strategy.
            min_idle: As in `plan_prune`; only together with a strategy.
            trash: Put the victims into the trash, and delete for good what has been there for so
                long and a day; None to delete the victims at once and leave the trash alone.
            trust_clock: Go by the time of the plan, whatever the store's clock says.
            progress: Called after each victim with how many are done.

        Returns:
            What became of each victim; see `PruneReport`. A victim that could not be deleted is
            in it and raises nothing.

        Raises:
            PluginError: As `plan_prune`.
            ValueError: The plan was made for another store, `trash` is negative, or `now` is given
                without `trust_clock`.
        """
        if now is not None and not trust_clock:
            raise ValueError(
                "a prune goes by the store's clock; now= is for plan_prune, or say trust_clock=True"
            )
        ours = not isinstance(plan, PrunePlan)
        with self._emitter.operation("prune"):
            if not isinstance(plan, PrunePlan):
                plan = self.plan_prune(plan, now=now, protect=protect, min_idle=min_idle)
            elif protect or min_idle or now:
                raise TypeError(
                    "now, protect and min_idle belong to plan_prune when a plan is given"
                )
            return self._pruner.prune(
                plan, ours=ours, trust_clock=trust_clock, trash=trash, progress=progress
            )

    def _pruner_of(self, retention: Retention) -> Pruner:
        if not retention.collections:
            return self._pruner
        from statekeep.heads.journals import journal_indexes  # noqa: PLC0415 - seldom needed

        journals = journal_indexes(self._store, retention.collections, self._emitter)
        return Pruner([self._heads, *journals], self._transfer, self._emitter, self._purges)

    def _background_of(
        self, collection: str, retention: Retention, purges: Callable[[Copy], bool]
    ) -> BackgroundPruner:
        from statekeep.heads.journals import journal_indexes  # noqa: PLC0415 - seldom needed

        indexes = journal_indexes(self._store, {collection} | retention.collections, self._emitter)
        pruner = Pruner(indexes, self._transfer, self._emitter, purges)
        return BackgroundPruner(retention, self._transfer, pruner, self._emitter, collection)

    def _telling(self, work: Callable[[], T]) -> T:
        """Do some work, and tell observers of a conflict that it meets."""
        try:
            return work()
        except ConflictError as error:
            self._emitter.emit(ConflictDetected, error.key)
            raise

    def _saved(self, session_id: str, user_id: str, version: Version, *, created: bool) -> None:
        self._emitter.emit(SessionSaved, session_id, user_id, version, created)
        if self._background:
            self._background.saved(session_id)
        for each in self._of_journals:
            each.saved(session_id)

    def _retry(self, error: ConflictError, retry: int) -> None:
        self._emitter.emit(ConflictRetried, error.key, retry)
