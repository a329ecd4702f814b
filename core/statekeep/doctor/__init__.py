"""The doctor: finds what is wrong in a store, and moves it out of the way.

What only a backend can see (leftovers of killed writers, links, locks) it learns through the power
`statekeep.store.SupportsInspect`; nothing here knows any backend.
"""

from statekeep.doctor.diagnosis import diagnose
from statekeep.doctor.findings import (
    Diagnosis,
    Finding,
    FindingKind,
    Repaired,
    RepairFailure,
    RepairReport,
)
from statekeep.doctor.repairs import repair

__all__ = [
    "Diagnosis",
    "Finding",
    "FindingKind",
    "RepairFailure",
    "RepairReport",
    "Repaired",
    "diagnose",
    "repair",
]
