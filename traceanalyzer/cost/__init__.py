"""What one operator call costs: FLOPs and compulsory bytes, or the reason why that is not known."""
