"""Arithmetic of differential privacy: noise tables, the loss of one delivery, the composition of many."""
