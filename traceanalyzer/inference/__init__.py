"""What a trace does not record and other rows of it prove: shapes, types in lists, borrowed calls."""
