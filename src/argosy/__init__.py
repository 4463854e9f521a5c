"""Argosy runs, watches and refits fleets of Python agents."""

__version__ = "0.1.0"
