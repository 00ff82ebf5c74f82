"""Chat templates that parts can't describe, as functions, one module a vendor; the entries stand in ``families/``."""
