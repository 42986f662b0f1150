"""The parts of a race: its candidates and contenders, its epochs, and which candidates remain."""

from resbuilder.race.contenders import contenders, training_config
from resbuilder.race.schedule import RacePlan, averaging_decay, race_plan, survivors
from resbuilder.race.space import Candidate, candidates

__all__ = [
    "Candidate",
    "RacePlan",
    "averaging_decay",
    "candidates",
    "contenders",
    "race_plan",
    "survivors",
    "training_config",
]
