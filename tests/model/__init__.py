"""A slow proof: the scripts against a small model in plain Python, step by step, under faults."""
