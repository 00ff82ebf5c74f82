"""What torchrun starts for ``swift infer``."""

import sys

from swift.cli.main import main

if __name__ == '__main__':
    sys.exit(main(['infer', *sys.argv[1:]]))
