"""Telling observers what has happened. Internal: `statekeep.events` has the public names.

Here live the events and the emitter that every operation goes through; what is done with events,
such as telemetry, is a plugin's affair.
"""
