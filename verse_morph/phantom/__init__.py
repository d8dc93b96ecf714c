"""Bodies with known answers: solid shapes, their masks and their true numbers."""
