"""What this device takes for its share of the work, and its link for messages."""
