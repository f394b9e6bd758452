"""`recap eval`: captions become scores."""
