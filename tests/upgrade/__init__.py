"""Two neighbouring releases on one Redis, under load, up and back; nothing may be lost. See __main__.py."""
