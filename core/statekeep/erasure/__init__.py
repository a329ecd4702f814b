"""Erasing a user: all that belongs to him goes at once, and a scan says what is left.

What lies below the protocol of a store, such as the old versions of a bucket, no scan finds; the
power `statekeep.store.SupportsRemains` names it.
"""

from statekeep.erasure.erasing import erase, erase_user, plan_erasure
from statekeep.erasure.types import (
    ErasureFailure,
    ErasurePlan,
    ErasureReport,
    ErasureVictim,
    Mention,
    Thoroughness,
    VictimKind,
)

__all__ = [
    "ErasureFailure",
    "ErasurePlan",
    "ErasureReport",
    "ErasureVictim",
    "Mention",
    "Thoroughness",
    "VictimKind",
    "erase",
    "erase_user",
    "plan_erasure",
]
