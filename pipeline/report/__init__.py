"""A verdict for people and programs: terminal, JSON, JUnit."""
