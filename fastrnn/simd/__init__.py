"""Vectors: what a cell's equations are written in, and the registers that they run on."""
