"""What a machine has, from texts that its own tools print: pure, takes text and gives values."""
