"""Sweeps: many runs in one directory, found again after a kill, and what came of them. Nothing here needs torch."""
