"""What the demonstration starts beside device and gateway."""
