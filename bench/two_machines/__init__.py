"""What the machines bench starts, and how it looks at it: two machines, one fleet, its crossing needs."""
