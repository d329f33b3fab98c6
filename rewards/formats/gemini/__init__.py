"""Rewards configured as Gemini's reinforcement tuning configures them: the same JSON, run here.

`reader` and `schema` read the configuration, `checks` refuses what is unsound, `reward` scores, and
`wire` holds the bodies of the HTTP calls.
"""
