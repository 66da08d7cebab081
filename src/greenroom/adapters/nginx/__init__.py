"""What router and analyser share about nginx: its settings, the files that it includes, its commands, what it says."""
