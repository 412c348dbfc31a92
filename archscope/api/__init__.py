"""The Python API: one function a command, with the same arguments in Python's spelling.

`archscope` itself exports every public name; which file holds it is nobody's business.
"""
