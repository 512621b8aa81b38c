"""The best architectures that a formula finds under a budget, trained for some steps:
python examples/select_and_train.py [NETWORKS] [STEPS]"""

import sys
from pathlib import Path

import torch

from fitness import Workshop
from fitness.candidates import FormulaScorer, score_candidates
from fitness.costs import costs_of
from gp import load_hall
from gp.selection import SelectionConfig, select
from models import SPACES, TokenBatch, load_benchmark
from models.spaces.variation import region_of

BUDGET = 200_000  # parameters
CHAMPIONS = Path(__file__).resolve().parent.parent / "proxies" / "gpt2-mini.json"


def chosen(networks):
    """The front of score against size, the best score first; none beyond the budget."""
    space, workshop = SPACES["gpt2"], Workshop.open("gpt2")
    scorer = FormulaScorer(load_hall(CHAMPIONS).proxies[0].formula)
    region = region_of(load_benchmark("gpt2-mini").architectures, space.fields)
    return select(
        "gpt2",
        region,
        SelectionConfig(networks, population=max(4, networks // 5)),
        allowed=lambda architecture, costs: costs.params <= BUDGET,
        count=lambda architecture: costs_of(architecture, 64, None),
        score=lambda batch: score_candidates(batch, scorer, lambda space: workshop),
    ).front


def trained(architecture, steps):
    """The loss after some steps of AdamW on a passage of prose, which stands for your own data."""
    model = SPACES[architecture.space].build(architecture, init_seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    tokens = TokenBatch.from_passage(16, 64).tokens
    for _ in range(steps):
        optimizer.zero_grad()
        loss = model.loss(tokens)
        loss.backward()
        optimizer.step()
    return float(loss.detach())


def main(networks=100, steps=100):
    """Three of the front, trained."""
    losses = {}
    for candidate in chosen(networks)[:3]:
        losses[candidate.architecture.id] = loss = trained(candidate.architecture, steps)
        print(f"score {candidate.score:8.4g}  {candidate.costs.params:>9,} parameters  loss {loss:.3f}")
    return losses


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
