"""OpenAI's graders: their JSON, what it means, and what their `/run` answers."""
