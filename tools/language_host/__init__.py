"""A Python language host for a Pulumi CLI that was built from source and so has no official one beside it.

It runs programs and policy packs. It leaves out what only authors of packages need (code generation, packing, linking),
debugging, tracing and type checking: the official host does those. Whatever works here works with the official host.
"""
