"""`python -m argosy.agent MODULE:CLASS [ARGS...]` runs one agent as a process."""

import sys

from argosy.agent.runner import run_target

if __name__ == "__main__":
    run_target(sys.argv[1:])
