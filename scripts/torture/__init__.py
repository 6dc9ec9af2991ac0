"""Hostile and odd pictures, drawn by format; `make_torture.py` writes them with what is to become of each."""
