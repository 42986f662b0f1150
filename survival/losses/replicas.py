"""The whole batch, where tf.distribute has divided it among replicas."""

from __future__ import annotations

import keras


def gather(x):
    """Rows of all replicas, in the order of the replicas; everywhere else just ``x``.

    The gradient goes back to the replica that a row came from, summed over replicas. So if all of
    them compute the same loss from it, divided by their number, each gets the gradient of the
    undivided loss for its own rows, and Keras' sum over replicas is the gradient of one device.

    Args:
        x: Tensor of this replica, shape (n, ...); n may differ between replicas.

    Returns:
        Tensor of shape (N, ...), with N rows on all replicas together.
    """
    if keras.backend.backend() != "tensorflow":
        return x
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    # No context: while Keras builds a model, before there are replicas.
    if context is None or context.num_replicas_in_sync == 1:
        return x
    # Gathering forgets the number of columns.
    return tf.ensure_shape(context.all_gather(x, axis=0), (None, *x.shape[1:]))
