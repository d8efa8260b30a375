"""Answers that come without a link: a text message back, a key in a call."""
