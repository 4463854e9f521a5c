"""A401, A402: matches literal addresses in code, alone or as the fallback of an environment variable.

Rewrites the literal to a lookup in the fleet file, if an environment of it has the address under a name.
Cases: `RULE` in `a401_rule` and `a402_rule`, tests/refit/codemods/a401.

From outside: `address_replacement`.
"""
