"""`python -m recap_cli` is `recap`."""

import sys

from recap_cli.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
