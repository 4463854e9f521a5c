"""Checks claims about a code base by counting: `claims_file` -> `query_runner` -> `claim_verdict`.

A claim has a query (see `query_registry`), a scope, a count and places. A result that depends on files that
cannot be read is `uncheckable`. Import `claims_file`, `claim_check`, `claim_spec` and `codebase`.

From outside: `claim_check`, `claim_spec`, `claim_verdict`, `claims_file`, `codebase`, `file_scopes`,
`query_registry`, `query_result`.
"""
