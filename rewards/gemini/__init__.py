"""Rewards configured as Gemini's reinforcement tuning configures them: the same JSON, run here."""
