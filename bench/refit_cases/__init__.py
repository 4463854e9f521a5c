"""What `bench/refit.py` measures with: trees, commands, peers, and what a refit did to a tree."""
