"""Bytes and values: the layout of sessions, summaries and JSON in documents, and how to read them.

Nothing here knows about stores: it turns bytes into values, and values into bytes. Internal, except
for the models that `statekeep` exports.
"""
