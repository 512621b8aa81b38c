"""A search in a directory that describes itself and survives kills."""
