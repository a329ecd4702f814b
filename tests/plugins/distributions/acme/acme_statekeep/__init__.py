"""What a third party may publish: a backend, a pruning strategy and an observer."""
