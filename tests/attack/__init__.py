"""Attacks from outside, each with a victim beside it that measures. Run by `make attack`."""
