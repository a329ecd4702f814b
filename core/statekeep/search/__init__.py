"""Looking through what is kept: for a text or a pattern, and for where the room goes."""

from __future__ import annotations

from statekeep.search.counting import Statistics, Tally, statistics
from statekeep.search.searching import Match, Said, Search, search

__all__ = ["Match", "Said", "Search", "Statistics", "Tally", "search", "statistics"]
