"""The stores that the hub's is held against: each takes the same hour of the same fleet."""
