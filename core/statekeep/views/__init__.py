"""Results as plain JSON, for the command line and whatever else shows them.

Nothing is read or decided here, and nothing is laid out for a person: that is the shower's affair,
but for how times and sizes are worded. Internal.
"""
