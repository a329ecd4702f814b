"""The session or journal that a request names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from statekeep.store.keys import journal_key, session_key
from statekeep_web.rendering import conversation_query
from statekeep_web.visits import BadRequest

if TYPE_CHECKING:
    from statekeep_web.visits import Visit

__all__ = ["Target", "target_of"]


@dataclass(frozen=True, slots=True)
class Target:
    """A session or a journal.

    Attributes:
        session: The session's id; None for a journal.
        collection: The journal's collection; None for a session.
        name: The journal's name; empty for a session.
    """

    session: str | None = None
    collection: str | None = None
    name: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Its id or name, for display."""
        return self.session if self.session is not None else " / ".join(self.name)

    @property
    def key(self) -> str:
        """Its key in the store.

        Raises:
            InvalidKeyError: The id or name is not legal.
        """
        if self.session is not None:
            return session_key(self.session)
        return journal_key(str(self.collection), self.name)

    @property
    def query(self) -> dict[str, Any]:
        """The query parameters that name it."""
        return conversation_query(self.session, self.collection, self.name)


def target_of(visit: Visit) -> Target:
    """Read the target of a request: ``session=``, or ``collection=`` and a ``name=`` per part.

    Raises:
        BadRequest: The request names neither.
    """
    session, collection = visit.exact("session"), visit.exact("collection")
    name = tuple(visit.all("name"))
    if session and collection is None:
        return Target(session)
    if session is None and collection and name:
        return Target(None, collection, name)
    raise BadRequest("The address names neither a session nor a journal.")
