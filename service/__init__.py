"""The service and its client. Importing this package costs nothing."""
