"""Programs that models write, and what tests say of them.

block.py     the program in a response
cases.py     the tests in a reference
compare.py   outputs and values against what is expected, outside of any sandbox
grade.py     the three ways to run tests
"""
