"""Measurements that make the tables of RESULTS.md; each writes what it measured to ``results/`` first."""
