"""Measurements. Each module prints one Markdown section; ``python -m bench`` runs them all, ``--write`` keeps them."""
