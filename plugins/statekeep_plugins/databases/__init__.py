"""Conversations that frameworks keep in SQLite databases, brought into journals.

Databases are read as rows, without the framework, and never changed.
"""
