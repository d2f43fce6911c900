"""A world in a box: the real code, through days that nobody has thought of."""
