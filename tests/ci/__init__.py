"""Reports in continuous integration, against stand-ins of the platforms."""
