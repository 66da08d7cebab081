"""Gates: what is asked before a release goes on, beside the checks of the candidate itself."""
