"""``python -m sealwatch``."""

from sealwatch.cli import main

raise SystemExit(main())
