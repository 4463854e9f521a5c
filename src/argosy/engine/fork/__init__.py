"""Process creation: the forker, the zygotes that fork preloaded agents, and their launcher.

The forker, zygote and copy-on-write modules run in their own processes.

From outside: `launcher`, `spawn_report`.
"""
