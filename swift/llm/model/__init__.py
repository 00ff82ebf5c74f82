"""Models: which ones are known, where their files come from, how they are loaded. Nothing here renders text."""
