"""Searching for the shape of the network: by training it many times, or once for all shapes."""
