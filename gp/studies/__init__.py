"""The same search under several settings and seeds: plan, trials, the file of finished ones, the summary."""
