"""The commands of ``specnet-device``, one a module."""
