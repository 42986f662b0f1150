"""Conversion of whole-slide images to input images of a network."""

from survival.slides.batch import preprocess_slides
from survival.slides.preprocess import SlideImage, preprocess_slide
from survival.slides.settings import SlideError

__all__ = ["SlideError", "SlideImage", "preprocess_slide", "preprocess_slides"]
