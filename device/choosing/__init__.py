"""Which operating point a node works at: what it measures, what the bundle promises, and when to change."""
