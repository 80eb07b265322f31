"""``python -m forewarn`` is ``forewarn``."""

from forewarn.cli import main

main()
