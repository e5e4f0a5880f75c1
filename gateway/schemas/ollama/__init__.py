"""Ollama's API, in its own words. Everything else it shares with OpenAI's chats and completions."""
