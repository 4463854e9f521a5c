"""H201: matches private health loops, which only answer health requests.

Removes the loop with its method, thread and socket, if the base class answers with the same payload on the
same port; docs/reference/h201.md numbers the conditions. Cases: `RULE` in `h201_rule`,
tests/refit/codemods/h201.

From outside: `health_base`, `health_loop_replacement`.
"""
