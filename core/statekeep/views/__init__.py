"""Results as plain JSON, for the command line and other interfaces. Internal.

This reads and decides nothing, and leaves layout to its callers; only times and sizes are worded
here.
"""
