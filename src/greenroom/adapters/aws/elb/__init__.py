"""Elastic Load Balancing: what the router `alb` is made of."""
