"""Turns records into claims, figures and results."""
