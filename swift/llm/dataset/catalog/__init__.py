"""One module a topic: the data sets known by name. Discovered by listing this package."""
