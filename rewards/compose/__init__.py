"""Rewards made of other rewards' outcomes: composites, panels, normalisation within a group.

Pure: outcomes in, an outcome out. Who plans the members and runs them in their lanes is the
gateway (`gateway/composite.py`). A new kind of this sort is a subclass of `combining.Combining`.
"""
