"""Arguments of every command: plain dataclasses, the flat command line, both vocabularies. No torch, no I/O beyond
asking whether a path exists."""
