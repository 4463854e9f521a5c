"""What bench/start.py finds and shows."""
