"""What router and analyser share about Envoy: its settings, its files, its admin socket."""
