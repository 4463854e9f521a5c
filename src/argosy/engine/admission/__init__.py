"""Admission: when agents may start, by processor pressure, memory and GPU memory.

Import from outside: `queue`, `memory_history`, `memory_sampler`, `gpu_memory`, and the readings
`available_memory`, `cpu_pressure` and `resource_check`.
"""
