"""Who people are to the pages: accounts, sessions, tokens of programs, and the log of what they did and saw."""
