"""What endpoints speak: a request body from a question, and a reading from a reply. No network.

One file for each wire.
"""
