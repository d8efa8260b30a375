"""How a node gets and keeps its certificate: enrolment with a one-time token, renewal before the end."""
