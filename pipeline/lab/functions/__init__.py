"""Function tests of an assigned device: a small Linux in L2 that uses its registers, and what it tells."""
