"""Batches: many requests in one file, answered when nobody else is in a hurry."""
