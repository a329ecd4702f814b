"""Plugins that can be loaded and misbehave afterwards."""
