"""What a guest can see and depend on, read from one boot of its domain."""
