"""The embedded benchmarks: small architectures, trained here, and how noisy what they reach is.

campaign.py      `train`: sample, train and write a benchmark; stopped at any moment, it goes on where it was
verification.py  `verify_by_training`: some of a benchmark's architectures trained again
recipes.py       `RECIPES`: what is trained for which benchmark
budgets.py       `train_budgets`: shapes of few sizes, each trained for several budgets
elastic.py       `train_elastic`: one supernet trained with random widths, its subnets measured
healing.py       `train_and_cut`: a trained network, its subnets measured as they are cut and after a brief training
learning.py      `train_one`: one run on a `Budget`; `DivergedError` when its loss is no number
sampling.py      `sample_architectures`: those of an embedded benchmark
cuts/            subnets of a pretrained checkpoint, measured as they are cut
corpus.py        `load_corpus`: the text, the source of Python's standard library
noise.py         `noise_ceiling`: how well a perfect oracle could rank, from replicated runs
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
