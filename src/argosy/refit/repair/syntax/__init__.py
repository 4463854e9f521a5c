"""The syntax rules: kinds of damage that keep a file from parsing, and their repairs.

From outside: `blocks`, `brackets`, `misplaced_lines`, `strings`.
"""
