"""One contract a port, as test classes to subclass: whoever writes an adapter runs the same tests as the built-in ones.

They need pytest (`greenroom[testing]`).
"""
