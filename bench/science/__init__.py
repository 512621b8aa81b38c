"""Claims on what formulas, predictors and searches are worth, a command each."""
