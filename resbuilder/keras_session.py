"""The global state of Keras, of which the user's settings must survive."""

from __future__ import annotations

import keras


def clear_session() -> None:
    """Free the memory of unused networks, but keep the policy of precision and the distribution.

    ``keras.backend.clear_session`` alone would reset both, for the caller's own networks, too.
    """
    policy, distribution = keras.config.dtype_policy(), keras.distribution.distribution()
    keras.backend.clear_session()  # It also collects garbage.
    keras.config.set_dtype_policy(policy)
    if distribution is not None:
        keras.distribution.set_distribution(distribution)
