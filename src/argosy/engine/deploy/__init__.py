"""Deployment of a fleet's tree to other machines over ssh.

The transports are used by `deployment`.

From outside: `deployment`, `ray_cluster`, `ssh_target`, `tree_swap`.
"""
