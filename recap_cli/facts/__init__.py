"""What may be said of a real song: facts, captions that state them, the way back, and teachers that find them."""
