"""What differs by hardware, as data."""
