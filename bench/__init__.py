"""Claims, a command each: on speed and memory, and on science; README.md has their figures."""
