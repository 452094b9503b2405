"""The places where code runs: one room each, and what they share."""
