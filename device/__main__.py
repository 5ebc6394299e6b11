"""``python -m device``."""

from __future__ import annotations

import sys

from device.cli import main

sys.exit(main())
