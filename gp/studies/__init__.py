"""Ablation studies: a search under several settings and seeds (plan, trials, file of finished trials, summary)."""
