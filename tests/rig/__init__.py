"""A local network of machines for tests, out of network namespaces."""
