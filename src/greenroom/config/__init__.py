"""`greenroom.yaml`: `source` reads it, `loader` checks it. Nothing is imported here: `status` needs `source` only."""
