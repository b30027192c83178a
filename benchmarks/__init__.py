"""Benchmarks: ratios within one run, never a figure alone."""
