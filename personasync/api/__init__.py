"""The API client. Importing this package loads no HTTP library; its ``client`` does."""
