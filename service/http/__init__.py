"""The HTTP face: the contracts of hosted services over the same plan and lanes as gRPC.

face.py        the port and the routes
request.py     a body, a call as one item, errors as status codes
cloud_run.py   the reward target that a Gemini tuning job calls
gemini.py      Google's validation of a reward configuration
openai.py      OpenAI's validation and run of a grader
"""
