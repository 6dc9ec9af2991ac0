"""Small programs for developing with the package."""
