"""Models of a device: signed updates are fetched, checked, tried out, and taken back when they do not hold.

A version lies in ``<state_dir>/models/<name>/<version>/``. Which one is in use says one small file that is replaced
atomically; a power cut at any moment leaves the old model in use or the new one, never half of one.
"""
