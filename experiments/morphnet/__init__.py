"""Chapter 5: MorphNet on MNIST."""
