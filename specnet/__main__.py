"""``python -m specnet``."""

import sys

from specnet.cli import main

sys.exit(main())
