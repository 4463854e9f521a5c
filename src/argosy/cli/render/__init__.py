"""Renders the results of commands as text, JSON and HTML. Only `argosy.cli.commands` imports these."""
