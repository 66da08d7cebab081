"""What the artefact and the environment `process` share."""
