"""The manifest: from YAML text to values, every problem with its place."""
