"""The parts of a race: its candidates and contenders, its epochs, and which candidates remain."""

from resbuilder.race.contenders import contenders, training_config
from resbuilder.race.schedule import (
    RacePlan,
    averaging_decay,
    best_together,
    least_epochs,
    race_plan,
)
from resbuilder.race.space import Candidate, candidates

__all__ = [
    "Candidate",
    "RacePlan",
    "averaging_decay",
    "best_together",
    "candidates",
    "contenders",
    "least_epochs",
    "race_plan",
    "training_config",
]
