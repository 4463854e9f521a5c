"""The base of audit, repair and refit: files, trees, facts, rules, findings, caches and baselines.

From outside: `audit_cache`, `audited_fleet`, `baseline`, `discovery`, `fact`, `fact_store`, `file_analyzer`,
`finding`, `git_revision`, `hadolint`, `parallel_analysis`, `rule`, `rule_manifest`, `source_file`,
`source_tree`, `worker_pool`.
"""
