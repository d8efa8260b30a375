"""Contacts and sensors: wires that bring their states, the decisions about them, the parts that do both."""
