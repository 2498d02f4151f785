"""Running sweeps: every job composed before the first begins, claimed by a lock, gone on with after a kill."""
