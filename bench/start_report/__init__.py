"""The results of bench/start.py and the rows that it reports."""
