"""What the tool says: values and events turned into text. Nothing here does I/O."""
