"""What runs inside a confined child: each module has `main(request, channel)`."""
