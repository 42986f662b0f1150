"""Settings of a training and of a search, with the symbols and defaults of the thesis (ch. 6).

One declaration serves Python, configuration files and the command line: each field holds its
default, help text, symbol and choices. Importing this package imports no backend.
"""

from resbuilder.config.methods import METHODS, RACE, THESIS, only_method
from resbuilder.config.search import CONTENDERS, SearchConfig
from resbuilder.config.training import STARTS, Config, TrainConfig

__all__ = [
    "CONTENDERS",
    "METHODS",
    "RACE",
    "STARTS",
    "THESIS",
    "Config",
    "SearchConfig",
    "TrainConfig",
    "only_method",
]
