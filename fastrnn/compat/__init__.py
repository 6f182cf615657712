"""Drop-ins for published from-scratch NumPy programs: change one import, and the script is fast.

Each module has the names, argument orders, array layouts and results of one program, and runs on
fastrnn's kernels. Arrays are float32 or float64 throughout, never mixed. Where the published
version is wrong, the drop-in is right, and its docstring says what was wrong.
"""
