"""Teaching a CE network what a plain one knows, on pictures without labels."""
