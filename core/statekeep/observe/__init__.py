"""Telling observers what happened. Internal: `statekeep.events` has the public names.

This package holds the events and the emitter that every operation goes through; what is done with
events, such as telemetry, is up to plugins.
"""
