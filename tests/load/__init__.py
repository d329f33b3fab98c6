"""The load generator, the benchmarks and the servers that they compare. Not collected by pytest."""
