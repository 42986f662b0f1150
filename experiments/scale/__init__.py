"""Scaling: training on several devices compared with training on one."""

SCRIPTS = ("mirrored",)
