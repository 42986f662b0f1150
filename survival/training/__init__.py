"""Training of a Cox network on slide images."""

from survival.training.settings import TrainingSettings
from survival.training.trainer import train

__all__ = ["TrainingSettings", "train"]
