"""Helpers of `bench/refit.py`: trees to measure, commands, a LibCST rewrite, and checks of a refit."""
