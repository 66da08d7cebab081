"""ECS: a service for each colour, and the task definitions that a release consists of."""
