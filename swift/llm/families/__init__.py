"""One module a vendor: its model families and, where new, their chat templates. Discovered by listing this package."""
