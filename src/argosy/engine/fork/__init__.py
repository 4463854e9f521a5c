"""Process creation: the forker, the zygotes that fork preloaded agents, and their launcher.

Import from outside: `launcher`, `spawn_report`, `fork_protocol` (messages and exit codes) and
`python_program`. The forker, zygote and copy-on-write modules run in their own processes.
"""
