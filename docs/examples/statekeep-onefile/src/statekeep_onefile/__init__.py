"""A SQLite file as a backend of statekeep, and a pruning strategy that thins out old days."""
