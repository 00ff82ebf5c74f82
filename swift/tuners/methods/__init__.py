"""One module a tuning method, torch-free at import. Discovered by listing this package."""
