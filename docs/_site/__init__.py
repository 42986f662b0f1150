"""What turns docs/ into a site: hooks of MkDocs, and the pages that are made from the code."""
