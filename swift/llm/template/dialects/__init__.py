"""One module a dialect of tool calls, or a few of one family. Discovered by listing this package."""
