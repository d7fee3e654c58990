"""The bytes of ONNX graphs, read with suspicion before onnxruntime sees them."""
