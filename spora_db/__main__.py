"""``python -m spora_db``: the command line without its script."""

from spora_db.cli import main

if __name__ == "__main__":
    main()
