"""Trainings on several devices beside trainings on one."""

SCRIPTS = ("mirrored",)
