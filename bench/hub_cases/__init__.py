"""Measurements of hubs with running fleets: the cost of the page, alert latency, metric cardinality."""
