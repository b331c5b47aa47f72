"""The lab: paths, run folders, execution, TensorBoard, the configuration of experiments."""
