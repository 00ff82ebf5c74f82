"""One straight-line function per subcommand."""
