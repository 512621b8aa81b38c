"""The commands of cli.py, a module each; besides cli.py the only folder that knows click and rich."""
