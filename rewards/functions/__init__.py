"""Custom reward functions: imported by path, recognised by parameter names, called in their shape.

Used by the kinds that run an author's own code.
"""
