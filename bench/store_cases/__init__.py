"""The hub's store and the stores it is compared with; each gets the same hour of the same fleet."""
