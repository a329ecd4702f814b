"""Erase a user: delete everything that belongs to them, then scan for what is left.

No scan finds data below the store's interface, such as old versions in a bucket;
`statekeep.store.SupportsRemains` lets a store name it.
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
