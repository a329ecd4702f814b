"""Hooks that would be silently ignored if nobody looked."""
