"""Its only hook is not marked."""

from statekeep.hooks import PrunerSpec


def statekeep_pruners() -> list[PrunerSpec]:
    return []
