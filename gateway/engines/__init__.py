"""What computes segments: ONNX Runtime on a CPU, torch on a CPU or a GPU. `gateway.engine` chooses among them."""
