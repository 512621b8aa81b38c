from .campaign import train as train
from .corpus import load_corpus as load_corpus
from .learning import Budget as Budget
from .learning import DivergedError as DivergedError
from .learning import train_one as train_one
from .noise import noise_ceiling as noise_ceiling
from .sampling import sample_architectures as sample_architectures
from .verification import verify_by_training as verify_by_training
