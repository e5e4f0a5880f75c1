"""Mutated model files, for every reader and for the engines' hosts. `python -m tests.fuzz`"""
