"""How the conversations of frameworks lie in journals.

The adapters write them so, and so do importers, that an adapter goes on with what was imported.
Nothing here imports a framework.
"""
