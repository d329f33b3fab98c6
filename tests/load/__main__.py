"""`python -m tests.load` is the benchmark."""

from .bench import main

if __name__ == "__main__":
    main()
