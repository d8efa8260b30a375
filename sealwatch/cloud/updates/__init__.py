"""Updates of nodes: which releases are offered to whom, their files, and what came of it."""
