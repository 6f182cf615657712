"""Compiled drivers.

They know no cell by name; they check nothing, allocate nothing and hold no GIL.
"""
