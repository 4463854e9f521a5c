"""Deployment of a fleet's tree to other machines over ssh.

Import from outside: `deployment` (deploy, rollback, commit), `ssh_target` and `tree_version`.
The transports and `tree_swap` are used by `deployment`.
"""
