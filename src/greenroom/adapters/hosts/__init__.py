"""Machines on which adapters work: this one, and others by SSH."""
