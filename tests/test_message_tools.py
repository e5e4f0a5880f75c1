"""What Anthropic's requests say of tools, and whatever else may be sent for one."""
