"""Risk of melanoma patients from whole-slide images: not written yet.

Here will live the Cox loss and its metrics, the cohort and its splits, the way from slides to model
inputs, and the training and evaluation of a survival network (chapter 7 of J. Burghoff's
dissertation).
"""

__all__ = []
