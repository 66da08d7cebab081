"""Docker: what the artefact and the environment `docker` share."""
