"""The version of this package, which the wheel and the User-Agent carry."""

__version__ = "0.1.0"
