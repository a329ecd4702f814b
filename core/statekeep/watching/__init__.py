"""Watches a store for sessions and journals that are created, changed or deleted."""

from __future__ import annotations

from statekeep.watching.watcher import Change, ChangeKind, Watcher, watch

__all__ = ["Change", "ChangeKind", "Watcher", "watch"]
