"""The command line: what is typed, what it is taken for, and the three commands."""
