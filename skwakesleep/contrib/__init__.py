"""Connections to other tools: training in several processes (`replicas`) and export to ONNX (`onnx`)."""
