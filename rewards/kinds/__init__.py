"""The kinds of reward, one idea a file. `registry.kinds()` imports what it finds here."""
