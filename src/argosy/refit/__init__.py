"""Audits Python trees, repairs them, and applies codemods; never imports or runs what it reads.

The entry points are `audit.tree_audit`, `core.baseline`, `repair.tree_repair`, `codemods.tree_pipeline` and
`claims.claim_check`; results are in `core.finding`, `repair.proposal` and `claims.claim_verdict`.

From outside: `analysis`, `audit`, `claims`, `codemods`, `core`, `repair`, `rules`, `transaction`.
"""
