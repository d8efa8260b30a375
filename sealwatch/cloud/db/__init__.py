"""The service's relational store: tables, engine and migrations. Times are epoch milliseconds (`*_at_ms`)."""
