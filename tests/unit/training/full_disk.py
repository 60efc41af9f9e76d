"""A training whose files may not grow beyond some bytes, as on a full disk; run by the tests."""

from __future__ import annotations

import resource
import signal
import sys

from unit.training import toy

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write then fails instead
limit = int(sys.argv.pop())
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
toy.main()
