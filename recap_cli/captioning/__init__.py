"""`recap caption`: songs become captions."""
