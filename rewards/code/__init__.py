"""Programs that models write: found in a response, run under tests in the sandbox, and graded.

What a data set expects never enters the process that runs the program. Isolation itself is
`rewards/sandbox`; this package only uses it.
"""
