"""`python -m handful` is the `handful` command."""

from handful.cli import main

main()
