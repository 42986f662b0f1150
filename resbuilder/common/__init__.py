"""Utilities shared by the packages and the experiments.

They need only the base installation and no backend. ``survival`` imports nothing else from
``resbuilder``; ``phs_optimizer`` imports nothing from it at all.
"""
