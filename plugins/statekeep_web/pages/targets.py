"""Which session or journal a page is about."""

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
        collection: The journal's; None for a session.
        name: The journal's.
    """

    session: str | None = None
    collection: str | None = None
    name: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What it is called, for a person."""
        return self.session if self.session is not None else " / ".join(self.name)

    @property
    def key(self) -> str:
        """Where it lies in the store.

        Raises:
            InvalidKeyError: It is no legal name.
        """
        if self.session is not None:
            return session_key(self.session)
        return journal_key(str(self.collection), self.name)

    @property
    def query(self) -> dict[str, Any]:
        """The parameters that name it."""
        return conversation_query(self.session, self.collection, self.name)


def target_of(visit: Visit) -> Target:
    """What a request names: ``session=``, or ``collection=`` and ``name=`` for each part.

    Raises:
        BadRequest: It names neither.
    """
    session, collection = visit.exact("session"), visit.exact("collection")
    name = tuple(visit.all("name"))
    if session and collection is None:
        return Target(session)
    if session is None and collection and name:
        return Target(None, collection, name)
    raise BadRequest("The address names no session, and no journal.")
