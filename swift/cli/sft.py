"""What torchrun starts for ``swift sft``."""

import sys

from swift.cli.main import main

if __name__ == '__main__':
    sys.exit(main(['sft', *sys.argv[1:]]))
