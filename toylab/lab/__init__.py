"""The lab: recipes, run folders, execution, TensorBoard, and the configuration of experiments."""
