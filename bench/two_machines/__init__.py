"""The fleet and the caller process of the machines bench."""
