"""`python -m cenet.export` is `cenet-export`."""

import sys

from cenet.export.cli import main

sys.exit(main())
