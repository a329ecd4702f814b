"""Every error that statekeep raises, named for what the caller should do next.

```
StateStoreError
├ ConflictError          someone else changed it: reload and retry
├ UnavailableError       the store did not answer or has no room: retry later
├ NotFoundError          it does not exist (also a KeyError)
├ AccessDeniedError      not allowed (also a PermissionError)
├ OwnershipError         it belongs to another user
├ InvalidKeyError        no store can hold that name (also a ValueError)
├ InvalidDocumentError   the value cannot be stored (also a ValueError)
├ CorruptDataError       what is stored cannot be read: do not retry
├ UnsupportedError       the backend, or this version of statekeep, cannot do that
├ ConfigError            the configuration is wrong
├ ClosedError            it is closed: open it again (also a ValueError)
└ PluginError
  ├ PluginNotFoundError  nothing installed offers that name
  ├ PluginConflictError  two distributions offer the same name
  └ PluginLoadError      the plugin is there but broken
```
"""

from __future__ import annotations

from typing import Literal

from statekeep._text import printable

__all__ = [
    "AccessDeniedError",
    "ClosedError",
    "ConfigError",
    "ConflictError",
    "CorruptDataError",
    "InvalidDocumentError",
    "InvalidKeyError",
    "NotFoundError",
    "OwnershipError",
    "PluginConflictError",
    "PluginError",
    "PluginLoadError",
    "PluginNotFoundError",
    "StateStoreError",
    "UnavailableError",
    "UnsupportedError",
]


Landed = Literal["no", "unknown"]
"""Whether a failed write landed: it certainly did not, or nobody knows."""


class StateStoreError(Exception):
    """The base class of every error that statekeep raises on purpose.

    Attributes:
        message: What was wrong and what to do, without key and store.
        key: The key in question, or None.
        store: The store in question, as it names itself (never with a secret), or None.
        landed: Whether the failed write or delete landed: ``"no"`` if it certainly did not,
            or ``"unknown"``. None for a read.
    """

    def __init__(
        self,
        message: str,
        *,
        key: str | None = None,
        store: object = None,
        landed: Landed | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.key = key
        self.store = None if store is None else str(store)
        self.landed = landed

    def __str__(self) -> str:
        where = [f"key {self.key!r}"] if self.key is not None else []
        if self.store is not None:
            where.append(f"store {self.store}")
        said = f"{self.message} [{', '.join(where)}]" if where else self.message
        # It can contain names and answers of servers, which must not forge a line of a log.
        return printable(said)

    def __reduce__(self) -> tuple[object, ...]:
        # Pickling would otherwise lose keyword-only arguments.
        return (_rebuild, (type(self), self.message, self.key, self.store, self.landed))


def _rebuild(
    cls: type[StateStoreError],
    message: str,
    key: str | None,
    store: str | None,
    landed: Landed | None,
) -> StateStoreError:
    return cls(message, key=key, store=store, landed=landed)


class ConflictError(StateStoreError):
    """What is stored is not what the caller expected. Reload and retry.

    Nothing was changed, unless `landed` is ``"unknown"``: then this call's own write may have
    landed, before someone else replaced it.
    """


class UnavailableError(StateStoreError):
    """The store did not answer in time, is full or is busy. Retry later.

    `landed` says whether a write may have landed nevertheless.
    """


class NotFoundError(StateStoreError, KeyError):
    """What was asked for does not exist."""


class AccessDeniedError(StateStoreError, PermissionError):
    """The store denies access to the credentials or the user of this process."""


class OwnershipError(StateStoreError):
    """The session belongs to a different user from the one named."""


class InvalidKeyError(StateStoreError, ValueError):
    """A key, name, category, session id or cursor is not allowed; the message says why."""


class InvalidDocumentError(StateStoreError, ValueError):
    """The value cannot be stored as it is; nothing was written."""


class CorruptDataError(StateStoreError):
    """The stored data is not what belongs there. Nothing was altered; retrying does not help."""


class UnsupportedError(StateStoreError):
    """The backend, or this version of statekeep, cannot do what was asked for."""


class ConfigError(StateStoreError):
    """A URL, an option or a setting is wrong."""


class ClosedError(StateStoreError, ValueError):
    """The object was closed before this call; open it again. Nothing was read or written."""


class PluginError(StateStoreError):
    """A plugin misbehaves."""


class PluginNotFoundError(PluginError):
    """No installed distribution offers a plugin of that name."""


class PluginConflictError(PluginError):
    """Several distributions offer the same name; choose with ``dist+scheme:…`` or ``dist:name``."""


class PluginLoadError(PluginError):
    """The plugin that was asked for could not be loaded."""
