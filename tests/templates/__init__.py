"""Chat templates of many models, put on one: tools render, and calls come back."""
