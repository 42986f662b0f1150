"""Training a Cox network on the images of slides."""

from survival.training.settings import TrainingSettings
from survival.training.trainer import train

__all__ = ["TrainingSettings", "train"]
