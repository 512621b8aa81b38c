"""The evolution: typed trees, variation, rules as decorators, algorithms; the only folder that imports DEAP."""
