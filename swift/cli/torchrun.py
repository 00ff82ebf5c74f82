"""torchrun with the manners of a command line: the worker's own exit code, and a quiet end on Ctrl-C.

torchrun's own main ends with 1 for every failure and prints its traceback beside the worker's.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """Run torchrun's command line ``argv`` and return the code of the worker that failed first, or 0."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as torchrun

    if 'LOGLEVEL' not in os.environ:  # torchrun's own variable; its reports repeat what the worker has just said
        logging.getLogger('torch.distributed.elastic').setLevel(logging.CRITICAL)
    try:
        torchrun(list(argv))
    except ChildFailedError as e:
        rank, failure = e.get_first_failure()
        print(f'swift: process {rank} ended with code {failure.exitcode}; the others were stopped.', file=sys.stderr)
        return failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
    except SignalException as e:
        return 128 + e.sigval
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
