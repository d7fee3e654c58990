"""`python -m handful` is the `handful` command."""

import sys


def run() -> None:
    """The command; Ctrl-C may come while it is imported."""
    try:
        from handful.cli import main

        main()
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    run()
