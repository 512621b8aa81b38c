"""Quality from labels: what a regression makes of the same labels that a search sees, and what it makes of them with
formulas beside.

numbers.py         what every space says of an architecture without building a network
members.py         regressions as data: hyper-parameters that say, with the labels, what is predicted
tuning.py          hyper-parameters by scikit-learn, and predictions of what was left out
rivals.py          ridge, Gaussian process, forest and scaling law as rows of a table, like naive baselines
shape_law.py       the shape-aware scaling law, fitted to the same labels
ensemble.py        several regressions as one, by what each is worth on what it was not fitted to
teacher.py         what a regression expects of networks without labels
predictor.py       Predictor: numbers and formulas to quality in the metric's unit, with intervals
predictor_file.py  a predictor as a file that describes itself
figures.py         what a predictor is worth on a benchmark
suggestion.py      which architectures to measure next
"""
