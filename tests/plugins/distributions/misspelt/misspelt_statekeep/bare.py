"""Its only hook is not marked."""

from statekeep.plugins import PrunerSpec


def statekeep_pruners() -> list[PrunerSpec]:
    return []
