"""The command line: one file a command.

Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 failure, 2 wrong use,
130 interrupted.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; an emotone error becomes one sentence on stderr."""
    from emotone.errors import EmotoneError

    try:
        from emotone.cli.app import app

        app()
    except EmotoneError as error:
        print(f"emotone: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        print("emotone: interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except BrokenPipeError:
        # The reader of stdout is gone (`| head`); keep Python from complaining at exit.
        sys.stderr.close()
        raise SystemExit(0) from None
