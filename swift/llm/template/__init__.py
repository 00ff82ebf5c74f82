"""Chat templates: messages to text with loss spans to tokens.

The registry (``swift.llm.template.registry``) is light; everything else here needs transformers, so nothing is
imported until it is asked for.
"""
