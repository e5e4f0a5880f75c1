"""Prefixes that a model has read, kept on disk as snapshots for all workers of a machine and those that come later."""
