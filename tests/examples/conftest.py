"""Excludes files of this directory that are not for pytest."""

collect_ignore = ["grown"]  # old code that README.md's commands are tried on, with a test of its own
