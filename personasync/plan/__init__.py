"""What leads from the state to the manifest, what refuses it, and how it is saved."""
