"""Blue-green releases without downtime: prove a version, switch, watch, and take it back in an instant."""

__version__ = "0.1.0"
