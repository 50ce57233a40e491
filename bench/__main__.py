"""`python -m bench`."""

import sys

try:
    from bench.cli import main
except ModuleNotFoundError as error:
    sys.exit(f"error: {error}; run `make setup` and then `. .venv/bin/activate` in the repository")

if __name__ == "__main__":
    main()
