"""AWS: one typed client for everything that lives in an account."""
