"""`inferq engine`: an engine that is compiled for the very processor of this machine."""
