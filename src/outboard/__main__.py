"""`python -m outboard`."""

import sys

from outboard.cli.main import main

sys.exit(main())
