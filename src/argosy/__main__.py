"""`python -m argosy`: the command, by whichever interpreter it is asked of."""

from argosy.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
