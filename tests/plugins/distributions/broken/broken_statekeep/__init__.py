"""Plugins that cannot be loaded, each for one reason."""
