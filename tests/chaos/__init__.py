"""Everything is hurt at random while clients ask; in the end the books must balance. See __main__.py."""
