"""Bytes and values: how sessions, summaries and JSON lie in a document, and how they are read.

What is here knows no store: it takes bytes and gives values, and the other way round. Internal,
but for the models that `statekeep` shows.
"""
