"""Operators of ExecuTorch that have a kernel there and no function in Python: importing a module registers it with torch."""
