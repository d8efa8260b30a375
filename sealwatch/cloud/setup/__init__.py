"""From an empty server to the first enrolled node: `sealwatch cloud init`."""
