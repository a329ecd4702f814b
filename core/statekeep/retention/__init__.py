"""Retention: what is deleted, when, and where it is kept for a while.

This package holds the types that pruning strategies work with, plans and their execution,
background pruning, the trash and the sweep. The strategies themselves are plugins.
"""

from statekeep.format.summary import FOREVER
from statekeep.retention.sweeping import SweepReport
from statekeep.retention.trash import Trashed
from statekeep.retention.types import (
    PlannedVictim,
    Protected,
    PruneFailure,
    PrunePlan,
    PruneReport,
    PruneThrottle,
    PruningStrategy,
    Retention,
    Victim,
)

__all__ = [
    "FOREVER",
    "PlannedVictim",
    "Protected",
    "PruneFailure",
    "PrunePlan",
    "PruneReport",
    "PruneThrottle",
    "PruningStrategy",
    "Retention",
    "SweepReport",
    "Trashed",
    "Victim",
]
