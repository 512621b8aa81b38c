"""Formulas that run without this project: templates of stand-alone modules, and what fills them in.

emission          a formula put into a template; what it does not need is left out
torch_module      the template for Hugging Face models, which needs torch alone
torch_taps        the part of it that reads the inputs of a model
sympy_module      the template for symbolic matrices
"""
