"""The backends that come with statekeep, each in a module of its own.

Importing this package imports none of them; `statekeep.open_store` imports the one it is asked for.
"""
