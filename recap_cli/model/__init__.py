"""The RECAP model: tensors in, tensors out."""
