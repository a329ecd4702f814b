"""Mistakes, each made in the library for as long as a block runs: the simulation must find them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from unittest import mock

from simulation.model import is_copy
from statekeep.errors import ConflictError, StateStoreError
from statekeep.retention import background, planning, pruner, trash
from statekeep.store.protocol import ABSENT, ANY
from statekeep.store.transfer import Transfer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from statekeep.store.protocol import Blob, StateStore, Version

__all__ = ["MUTANTS"]


def _take_back_if_something_is_there(transfer: Transfer, key: str, blob: Blob, to: str) -> None:
    copy = transfer.put_new(to, blob.data)
    try:
        transfer.delete_seen(key, blob.version)
    except ConflictError:
        if transfer.store.get(key) is not None:
            transfer.delete_seen(to, copy)
        raise


def _take_back_whatever_happened(transfer: Transfer, key: str, blob: Blob, to: str) -> None:
    copy = transfer.put_new(to, blob.data)
    try:
        transfer.delete_seen(key, blob.version)
    except StateStoreError:
        transfer.delete_seen(to, copy)
        raise


def _never_take_back(transfer: Transfer, key: str, blob: Blob, to: str) -> None:
    transfer.put_new(to, blob.data)
    transfer.delete_seen(key, blob.version)


def _delete_before_the_copy(transfer: Transfer, key: str, blob: Blob, to: str) -> None:
    transfer.delete_seen(key, blob.version)
    transfer.put_new(to, blob.data)


def _rely_on_an_equal_copy(transfer: Transfer, key: str, blob: Blob, to: str) -> None:
    stem = key.rpartition("/")[2]
    for entry in transfer.store.scan(to.rpartition("/")[0]):
        if entry.key.endswith(f"-{stem}") and entry.size == len(blob.data):
            there = transfer.store.get(entry.key)
            if there is not None and there.data == blob.data:
                transfer.delete_seen(key, blob.version)
                return
    _move(transfer, key, blob, to)


_move = Transfer.move


def _save_over_anything(transfer: Transfer, key: str, data: bytes, version: Version) -> Version:
    return transfer.store.put(key, data)


def _create_over_anything(transfer: Transfer, key: str, data: bytes) -> Version:
    return transfer.store.put(key, data)


def _delete_anything(transfer: Transfer, key: str, version: Version) -> None:
    transfer.store.delete(key)


def _protect_nothing(*_: object, **__: object) -> None:
    return None
