"""``python -m statekeep.cli``."""

from statekeep.cli import main

main()
