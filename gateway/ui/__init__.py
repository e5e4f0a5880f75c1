"""The page: a chat and an overview for people. It calls the public API and nothing else, see docs/page.md."""
