"""Route 53: what the router `route53` is made of."""
