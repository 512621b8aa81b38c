"""Hugging Face configurations, the most promising first: python examples/rank_configs.py CONFIG... [HALL.json last]"""

import sys
from pathlib import Path

from fitness import Workshop
from fitness.candidates import FormulaScorer, score_candidates
from gp import load_hall
from models import SPACES, read_candidates

CHAMPIONS = Path(__file__).resolve().parent.parent / "proxies" / "gpt2-mini.json"


def main(paths, hall=CHAMPIONS):
    """Scores of config.json files or folders that hold them, by the champion of a hall of fame; nothing is loaded."""
    candidates = read_candidates([Path(path) for path in paths])
    scorer = FormulaScorer(load_hall(Path(hall)).proxies[0].formula)
    scores = score_candidates(candidates, scorer, lambda space: Workshop.open(space))
    ranked = sorted(zip(candidates, scores, strict=True), key=lambda pair: -(pair[1][0] or float("-inf")))
    for candidate, (score, reason) in ranked:
        size = SPACES[candidate.space].parameters(candidate).total
        print(f"{reason if score is None else format(score, '12.5g')}  {size:>12,} parameters  {candidate.id}")
    return [candidate.id for candidate, _ in ranked]


if __name__ == "__main__":
    main(sys.argv[1:])
