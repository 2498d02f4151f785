"""The training loop and what keeps it safe: checkpoints, averaged weights, the watch for non-finite numbers."""
