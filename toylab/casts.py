"""Corpora made from corpora."""
