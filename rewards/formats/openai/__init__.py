"""OpenAI's graders: their JSON, what it means, and what their `/run` answers.

`schema` reads a grader, `grading` scores a sample, `run_result` and `outcome` write the answer.
"""
