"""The gateway under the load of many devices, and what else could serve the same segments, side by side."""
