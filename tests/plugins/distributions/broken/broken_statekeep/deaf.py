"""An observer without the hook of observers."""
