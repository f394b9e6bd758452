"""The corpus of real lyrics and real music, whose captions say what teachers find in both."""
