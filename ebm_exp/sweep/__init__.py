"""What a sweep is: its files, its settings with their seeds together, in words. Nothing here needs torch."""
