"""What nobody sends a message about: time that runs out, and those who say nothing."""
