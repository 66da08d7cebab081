"""Write the reference of `greenroom.yaml`: docs/reference/configuration.md and greenroom.schema.json."""

from pathlib import Path

from greenroom.config.reference import write

write(Path(__file__).parents[1] / "docs" / "reference")
