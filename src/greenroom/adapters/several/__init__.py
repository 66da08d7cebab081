"""Several hosts as one environment, one router, one artefact, one analyser: the engine knows nothing of hosts."""
