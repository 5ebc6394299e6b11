"""The sensor board's part: reads a spectrometer, answers what it can, asks the gateway for the rest.

Imports neither torch nor scipy, scikit-learn or h5py: the whole package runs with numpy, msgspec, ONNX Runtime,
paho-mqtt and pyserial.
"""
