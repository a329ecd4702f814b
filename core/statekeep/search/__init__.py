"""Search sessions and journals for text, and count how much is stored."""

from __future__ import annotations

from statekeep.search.counting import Statistics, Tally, statistics
from statekeep.search.searching import Match, Said, Search, search

__all__ = ["Match", "Said", "Search", "Statistics", "Tally", "search", "statistics"]
