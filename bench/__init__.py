"""What Greenroom must reach, measured: `python -m bench [--quick] [name …]`."""
