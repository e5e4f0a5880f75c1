"""`inferq bench`: how fast servers answer, as their clients see it."""
