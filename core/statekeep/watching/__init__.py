"""Watching a store: which sessions and journals come, change and go."""

from __future__ import annotations

from statekeep.watching.watcher import Change, ChangeKind, Watcher, watch

__all__ = ["Change", "ChangeKind", "Watcher", "watch"]
