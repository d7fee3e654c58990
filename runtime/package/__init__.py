"""Reading a package with care: manifest, files and graphs, before onnxruntime sees them."""
