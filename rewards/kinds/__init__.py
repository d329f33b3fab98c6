"""The kinds of reward, one file for each. `registry.kinds()` imports what it finds here.

A kind holds its parameters and a few lines that call the rooms beside it (`reading`, `code`,
`models`, `formats`). To add a kind, add a file: nothing else has to know it.
"""
