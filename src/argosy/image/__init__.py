"""Containers from the fleet file: images that hold what their agents import, and what runs them."""
