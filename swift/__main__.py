"""``python -m swift``: the command line, where another program called swift is first on PATH (Apple's compiler)."""

import sys

from swift.cli.main import main

if __name__ == '__main__':
    sys.exit(main())
