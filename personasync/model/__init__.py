"""The values that every part shares, and the facts of the API; nothing here touches the world."""
