"""The plugins that come with statekeep, besides its backends."""
