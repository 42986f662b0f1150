"""Chapter 3: the port-Hamiltonian optimizer on LeNet."""
