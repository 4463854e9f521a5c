"""Which images and containers a fleet needs, from its sources and its lock.

From outside: `agent_imports`, `container_fleet_file`, `container_plan`, `grouping`, `image_plan`,
`known_packages`, `metric_only_imports`.
"""
