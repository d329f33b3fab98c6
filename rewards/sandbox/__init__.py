"""Runs code that nobody trusts: isolated, bounded, and told apart from the sandbox's own faults.

`pool.SandboxPool` is the way in. A *seed* process, started by exec with a clean environment,
imports what the runs need; from it one *zygote* is forked for each *slot*; from that one *child*
for each run, which confines itself before it reads its request. No other process there reads a
request or an answer. This package stands alone on the standard library: the seed loads it under
another name, without the packages above it.
"""
