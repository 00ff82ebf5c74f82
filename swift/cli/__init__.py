"""The command line: argv -> a function and an exit code. Standard library only; yaml inside one function."""
