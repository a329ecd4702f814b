"""Imports conversations that frameworks keep in SQLite databases.

Databases are read as plain rows, without the framework, and never changed.
"""
