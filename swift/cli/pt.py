"""What torchrun starts for ``swift pt``."""

import sys

from swift.cli.main import main

if __name__ == '__main__':
    sys.exit(main(['pt', *sys.argv[1:]]))
