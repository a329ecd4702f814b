"""Ends the program when it is imported, as a script does."""

import sys

sys.exit("this machine has no Acme")
