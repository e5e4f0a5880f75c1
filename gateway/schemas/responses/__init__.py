"""OpenAI's Responses: another way to ask for a chat, and to tell its answer. Pure, as all formats."""
