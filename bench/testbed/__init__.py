"""Code that all benches share: rounds, ratios, process measurement and the description of the machine."""
