"""What follows the evolution: the search problem, beams over all branches, the choice by cross-validation."""
