"""Run the contract against a live store, in a scratch place that is cleaned up afterwards."""

from __future__ import annotations

import logging
import secrets
import shutil
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from statekeep.config.opening import find_backend, open_store
from statekeep.errors import ConfigError, PluginError, StateStoreError
from statekeep.store import Capabilities, StoreURL, delete_many
from statekeep.testing.claims import claims
from statekeep.testing.running import Outcome, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Conformance", "check_store"]

_logger = logging.getLogger(__name__)

_SUITE = Path(__file__).with_name("suite.py")

_RUN_IT = "not run here: subclass it in a test module and run pytest, see docs/conformance.md"
# Tests that a URL alone is not enough for, or that take too long.
_NOT_RUN = (
    Outcome("sessions keep their promises on it (`SessionsContract`)", "not tested", _RUN_IT),
    Outcome("journals keep their promises on it (`JournalsContract`)", "not tested", _RUN_IT),
    Outcome(
        "it behaves like a dict in more than five short runs (`StateStoreMachine`)",
        "not tested",
        _RUN_IT,
    ),
)


@dataclass(frozen=True, slots=True)
class Conformance:
    """The results of running the contract against a store.

    Attributes:
        store: The store's own name for itself.
        claims: The capabilities that it claims.
        outcomes: The result of each test, including those not run, with the reason.
    """

    store: str
    claims: Capabilities
    outcomes: tuple[Outcome, ...]


def check_store(
    url: str, *, in_place: bool = False, progress: Callable[[int, int], object] | None = None
) -> Conformance:
    """Run the contract against a store.

    Args:
        url: The store's URL. The tests work in a new place below it and remove it at the end.
        in_place: Work at the URL itself, which must be an empty place, and empty it again after
            each test. For a backend whose URLs do not nest.
        progress: Called after each test with the number done so far and the total.

    Raises:
        ConfigError: The URL is wrong, the backend's URLs do not nest, or the place is not empty.
        StateStoreError: The store cannot be used at all.
        KeyboardInterrupt: The user pressed Ctrl-C; the place is still cleaned up.
    """
    place = _in_place(url) if in_place else _scratch(StoreURL.parse(url))
    with place as new_location, _hypothesis_elsewhere():
        with open_store(new_location()) as store:
            # Fail here, outside the contract, if the place itself is unusable.
            store.put("asked.json", b"")
            store.delete("asked.json")
            for power in ("conditional_put", "conditional_delete"):
                claims(store, power)
            claimed = store.capabilities
        outcomes = run(str(_SUITE), plugin=_Places(new_location), progress=progress)
    with open_store(url) as store:
        return Conformance(str(store), claimed, (*outcomes, *_NOT_RUN))


class _Places:
    """A pytest plugin that tells the suite where to work."""

    def __init__(self, new_location: Callable[[], str]) -> None:
        self._new_location = new_location

    @pytest.fixture
    def new_location(self) -> Callable[[], str]:
        return self._new_location


@contextmanager
def _in_place(url: str) -> Iterator[Callable[[], str]]:
    with open_store(url) as store:
        if found := next(iter(store.scan()), None):
            raise ConfigError(
                f"the place is not empty: it holds {found.key!r}; name an empty one",
                store=store,
            )

    def emptied() -> str:
        _empty(url)
        return url

    try:
        yield emptied
    finally:
        _tidy_up(url)


@contextmanager
def _scratch(address: StoreURL) -> Iterator[Callable[[], str]]:
    backend = find_backend(address)
    if not backend.nests:
        raise ConfigError(
            f"the backend {backend.name!r} has no places below its URLs; name an empty place "
            "and use --in-place"
        )
    scratch = address.below(f"statekeep-conformance-{secrets.token_hex(4)}")
    places = (str(scratch.below(str(number))) for number in count(1))
    missing = _missing_folders(address) if backend.name == "file" else []
    try:
        yield lambda: next(places)
    finally:
        _tidy_up(str(scratch))
        # On a filesystem, the folders of deleted documents remain.
        if backend.name == "file":
            shutil.rmtree(scratch.path, ignore_errors=True)
        elif backend.name == "fsspec":
            _remove_folders(scratch)
        for folder in missing:
            with suppress(OSError):
                folder.rmdir()


def _empty(url: str) -> None:
    with open_store(url) as store:
        delete_many(store, [entry.key for entry in store.scan()])


def _tidy_up(url: str) -> None:
    try:
        _empty(url)
    except (ConfigError, PluginError):
        pass  # the store could not be opened, so there is nothing to clean up
    except StateStoreError as error:
        _logger.warning("%s could not be cleaned up; please do it by hand: %s", url, error)


def _missing_folders(address: StoreURL) -> list[Path]:
    """The folders that the first write will create, innermost first."""
    return [folder for folder in (address.path, *address.path.parents) if not folder.exists()]


def _remove_folders(scratch: StoreURL) -> None:
    from fsspec.core import url_to_fs  # noqa: PLC0415 - an extra, which the backend needs as well

    # Without its driver the store could not be opened, so nothing was created.
    with suppress(ImportError, OSError, ValueError):
        filesystem, path = url_to_fs(
            f"{scratch.scheme}:{scratch.location}", use_listings_cache=False
        )
        filesystem.rm(path, recursive=True)


@contextmanager
def _hypothesis_elsewhere() -> Iterator[None]:
    """Keep Hypothesis from leaving a folder in the current directory."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as environment:
        environment.setenv("HYPOTHESIS_STORAGE_DIRECTORY", folder)
        yield
