"""The operators of opset 18 that a package's graphs may use."""

ARITHMETIC = """
    Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor
    Cast CastLike Ceil Clip Cos Cosh CumSum Div Equal Erf Exp Floor Greater GreaterOrEqual IsInf
    IsNaN Less LessOrEqual Log Max Mean Min Mod Mul Neg Not Or Pow Reciprocal Round Sign Sin Sinh
    Sqrt Sub Sum Tan Tanh Where Xor
"""
ACTIVATION = """
    Celu Elu HardSigmoid HardSwish Hardmax LeakyRelu LogSoftmax Mish PRelu Relu Selu Sigmoid
    Softmax Softplus Softsign ThresholdedRelu
"""
PRODUCT = "Conv ConvTranspose Det Einsum GRU Gemm LSTM MatMul RNN"
REDUCTION = """
    ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
    ReduceProd ReduceSum ReduceSumSquare TopK
"""
POOL = """
    AveragePool GlobalAveragePool GlobalLpPool GlobalMaxPool LpPool MaxPool MaxUnpool Resize
"""
NORM = """
    BatchNormalization GroupNormalization InstanceNormalization LRN LayerNormalization
    LpNormalization MeanVarianceNormalization
"""
SHAPE = """
    CenterCropPad Col2Im Compress Concat Constant ConstantOfShape DepthToSpace Dropout Expand
    EyeLike Flatten Gather GatherElements GatherND Identity NonZero OneHot Pad Range Reshape
    ReverseSequence Scatter ScatterElements ScatterND Shape Size Slice SpaceToDepth Split Squeeze
    Tile Transpose Trilu Unique Unsqueeze Upsample
"""
LOSS = "NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss"

ALLOWED = frozenset(
    " ".join((ARITHMETIC, ACTIVATION, PRODUCT, REDUCTION, POOL, NORM, SHAPE, LOSS)).split()
)
CONTROL_FLOW = frozenset(("If", "Loop", "Scan", "SequenceMap"))
RANDOM = frozenset(
    "Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike".split()
)
