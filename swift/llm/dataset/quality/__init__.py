"""What is wrong with training data, found before training: ``swift data check``. Changes no row."""
