"""Attacks on the sandbox, as data, and what runs them: each must fail, seen from outside.

`note` has the list that the suite is held to, the modules named for its headings have the cases,
`catalog` puts them together. `scene` is what on this host could be hurt, `runner` runs the suite.
"""
