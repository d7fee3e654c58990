"""Export: a learner and its parameters become a package of plain ONNX graphs."""
