"""Voice personas as code: plan and apply a YAML manifest, and never lose an ID."""

__version__ = "0.1.0"
