"""`python -m tests.programs.eager PROGRAM...`: k1edge, but no analysis stands back for whatever else this machine does."""

import sys

from k1edge.__main__ import main
from k1edge.library import worker

worker.NICE = 0

if __name__ == "__main__":
    sys.exit(main())
