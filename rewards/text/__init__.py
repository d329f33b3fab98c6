"""Templates, formulas, chat messages and ProtoJSON: from the domain's types to text and back.

Standard library only, no reward and no I/O.
"""
