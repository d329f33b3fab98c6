"""What runs inside a confined child: each module has `main(request, channel)`.

Guests import the standard library and each other only, never the rest of the project: untrusted
code shares their process.
"""
