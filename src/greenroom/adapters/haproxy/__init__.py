"""What router and analyser share about HAProxy: its settings, its file, its socket."""
