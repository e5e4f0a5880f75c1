"""`inferq tune`: what else makes a model faster on this machine, and how it gets into models.toml."""
