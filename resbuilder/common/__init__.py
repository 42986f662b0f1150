"""Plumbing that the packages and the experiments share; needs the base install and no backend.

``survival`` imports this and nothing else of ``resbuilder``; ``phs_optimizer`` does not.
"""
