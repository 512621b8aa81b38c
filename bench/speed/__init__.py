"""Claims on speed and memory, a command each."""
