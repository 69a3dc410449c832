"""``python -m schema``: write the schema and the roles' page where people read them."""

from __future__ import annotations

from pathlib import Path

from schema import matrix, schema

SDL = Path(__file__).parent / "schema.graphql"


def text() -> str:
    """The schema definition of this release, without what the language itself defines."""
    return schema.as_str().replace("directive @oneOf on INPUT_OBJECT\n", "", 1).strip() + "\n"


if __name__ == "__main__":
    SDL.write_text(text(), encoding="utf-8")
    matrix.write(schema)
