"""What each candidate does, and statekeep doing it."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

__all__ = [
    "AGENT",
    "USER",
    "Candidate",
    "StatekeepFile",
    "StatekeepFileJournal",
    "StatekeepFolder",
    "StatekeepFolderJournal",
]

USER, AGENT = "ada", "benchmark"


class Candidate(ABC):
    """One store of conversations, opened in this process.

    What a candidate does not offer raises `NotImplementedError`.

    Args:
        place: A folder of its own.
    """

    name: ClassVar[str]
    distributions: ClassVar[Sequence[str]]
    modules: ClassVar[Sequence[str]]

    def __init__(self, place: str) -> None:
        self.place = Path(place)
        self._runner = asyncio.Runner()

    @abstractmethod
    def create(self, session_id: str) -> None:
        """Begin an empty conversation, where that is a step of its own."""

    @abstractmethod
    def turn(self, session_id: str, text: str, pause: float = 0) -> None:
        """Read the conversation, think for a moment, and store what was said.

        Any error means that the caller is told: it reads again and says it again.
        """

    @abstractmethod
    def read(self, session_id: str) -> list[str]:
        """All that the user has said, in order."""

    def history(self, session_id: str) -> list[str]:
        """All that the user has said, in any earlier state that is kept."""
        raise NotImplementedError

    @abstractmethod
    def fill(self, session_id: str, texts: Sequence[str]) -> None:
        """Store many turns; how does not matter."""

    @abstractmethod
    def hold(self, session_id: str) -> None:
        """Have a conversation at hand, for `append`."""

    @abstractmethod
    def append(self, text: str) -> None:
        """Store another turn of the conversation at hand."""

    def populate(self, count: int) -> None:
        """Store so many conversations."""
        for number in range(count):
            self.create(f"session-{number}")
            self.fill(f"session-{number}", ["hello"])

    def newest(self, limit: int) -> Sequence[object]:
        """The conversations that were changed last."""
        raise NotImplementedError

    def look(self, session_id: str) -> Any:
        """What is needed to delete a conversation later, as it is now."""
        return session_id

    def delete(self, seen: Any) -> None:
        """Delete what was looked at."""
        raise NotImplementedError

    def open_as(self, session_id: str, user: str) -> object:
        """Open a conversation of `USER` for another user; None if there is none for that one."""
        raise NotImplementedError

    def close(self) -> None:  # noqa: B027 - not all open something
        """Give back what was opened."""

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Wait for what is asynchronous."""
        return self._runner.run(work)


class StatekeepFolder(Candidate):
    """A folder, all by default: ``durability=fsync``, a session in one document."""

    name = "statekeep, folder"
    distributions = ("statekeep",)
    modules = ("statekeep.plugins", "statekeep_backends.local", "statekeep_plugins.pruners")
    _url = "{}/state"
    _form: Any = "document"

    def __init__(self, place: str) -> None:
        from statekeep import Sessions, open_store

        super().__init__(place)
        self._store = open_store(self._url.format(place))
        self._sessions = Sessions(self._store, form=self._form)
        self._held: Any = None

    def create(self, session_id: str) -> None:
        self._sessions.get_or_create(USER, session_id)

    def turn(self, session_id: str, text: str, pause: float = 0) -> None:
        session = self._sessions.load(session_id, required=True)
        time.sleep(pause)
        session.add_user_message(text)
        session.add_agent_response("ok")
        self._sessions.save(session)

    def read(self, session_id: str) -> list[str]:
        session = self._sessions.load(session_id, required=True)
        return [each.content for each in session.user_messages]

    def fill(self, session_id: str, texts: Sequence[str]) -> None:
        session = self._sessions.load(session_id, required=True)
        for text in texts:
            session.add_user_message(text)
            session.add_agent_response("ok")
        self._sessions.save(session)

    def populate(self, count: int) -> None:
        from statekeep import Session

        for number in range(count):
            session = Session.new(USER, f"session-{number}")
            session.add_user_message("hello")
            session.add_agent_response("ok")
            self._sessions.save(session)

    def hold(self, session_id: str) -> None:
        self._held = self._sessions.load(session_id, required=True)

    def append(self, text: str) -> None:
        self._held.add_user_message(text)
        self._held.add_agent_response("ok")
        self._sessions.save(self._held)

    def newest(self, limit: int) -> Sequence[object]:
        return self._sessions.list(limit=limit).summaries

    def look(self, session_id: str) -> Any:  # noqa: ARG002 - whatever is oldest
        from statekeep import load_pruner

        return self._sessions.plan_prune(load_pruner("max-sessions", max_sessions=1))

    def delete(self, seen: Any) -> None:
        report = self._sessions.prune(seen)
        assert report.pruned or report.skipped

    def open_as(self, session_id: str, user: str) -> object:
        return self._sessions.load(session_id, user_id=user)

    def close(self) -> None:
        self._sessions.close()
        self._store.close()


class StatekeepFolderJournal(StatekeepFolder):
    """The same, with a session as a journal, as the docs advise for long ones."""

    name = "statekeep, folder, journal"
    _form = "journal"


class StatekeepFile(StatekeepFolder):
    """A SQLite file, all by default."""

    name = "statekeep, SQLite"
    modules = ("statekeep.plugins", "statekeep_backends.sqlite", "statekeep_plugins.pruners")
    _url = "sqlite:{}/state.db"

    def __init__(self, place: str) -> None:
        Path(place).mkdir(parents=True, exist_ok=True)
        super().__init__(place)


class StatekeepFileJournal(StatekeepFile):
    """The same, with a session as a journal."""

    name = "statekeep, SQLite, journal"
    _form = "journal"
