"""Arrays: scratch memory, hot loops, random numbers."""
