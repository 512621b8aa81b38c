"""The embedded benchmark: small architectures, trained here, and how noisy what they reach is.

train                 sample, train and write a benchmark; stopped at any moment, it goes on where it was
verify_by_training    train some of a benchmark's architectures again and compare
Budget                what every training run spends
train_one             one training run
DivergedError         a loss that is not a finite number
noise_ceiling         how well a perfect oracle could rank a benchmark, from replicated runs
sample_architectures  the architectures of the embedded benchmark
load_corpus           the text they are trained on: the source of Python's standard library
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
