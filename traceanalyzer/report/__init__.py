"""The finished analysis as a page, a text, a table or a picture."""
