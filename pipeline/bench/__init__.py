"""Measures in pairs: what Dryboot takes against a floor, alternating in the same run."""
