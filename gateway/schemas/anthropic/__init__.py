"""Anthropic's Messages API, in its own words. Everything else it shares with OpenAI's chats."""
