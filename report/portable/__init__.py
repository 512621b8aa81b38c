"""Stand-alone modules: templates for formulas that run without this project.

emission          a template filled with a formula, without the parts it does not need
torch_module      the template for Hugging Face models, which needs torch alone
torch_taps        the part of it that reads the inputs of a model
sympy_module      the template for symbolic matrices
"""
