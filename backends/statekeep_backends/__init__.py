"""The backends that come with statekeep, each in its own module.

Importing this package imports none of them; `statekeep.open_store` imports the one that it needs.
"""
