"""Admission: when agents may start, by processor pressure, memory and GPU memory.

From outside: `cpu_pressure`, `memory_sampler`, `queue`.
"""
