"""Looking through what is kept: for a text or a pattern, and for where the room goes."""

from __future__ import annotations

from statekeep.search.searching import Match, Said, Search, search
from statekeep.search.statistics import Statistics, Tally, statistics

__all__ = ["Match", "Said", "Search", "Statistics", "Tally", "search", "statistics"]
