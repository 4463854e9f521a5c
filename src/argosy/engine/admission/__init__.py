"""Admission: when agents may start, by processor pressure, memory and GPU memory.

From outside: `cpu_pressure`, `gpu_memory`, `memory_history`, `memory_sampler`, `queue`.
"""
